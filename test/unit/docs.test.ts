// test/unit/docs.test: the pages link to what exists, and those made from the code are up to date.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { errorTable } from '../../cli/explain.ts'
import { projectRoot } from '../support/harness/root.ts'
import { assert, suite } from '../support/harness/suite.ts'

const below = readdirSync(join(projectRoot, 'docs'), { recursive: true, encoding: 'utf8' }).map(file =>
  join('docs', file),
)
const atRoot = readdirSync(projectRoot)
const ofFolders = atRoot.map(folder => join(folder, 'README.md')).filter(file => existsSync(join(projectRoot, file)))
const pages = [...atRoot, ...ofFolders, ...below].filter(file => file.endsWith('.md'))

const test = suite('docs')

test('every link to a file of the project leads somewhere', () => {
  const broken = pages.flatMap(page => {
    const text = readFileSync(join(projectRoot, page), 'utf8')
    const targets = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!)
    return targets
      .filter(target => !/^(https?:|#)/.test(target))
      .filter(target => !existsSync(join(projectRoot, dirname(page), target.split('#')[0]!)))
      .map(target => `${page}: ${target}`)
  })
  assert.equal(broken, [])
})

test('a link that names a file leads to a file of that name', () => {
  const wrong = pages.flatMap(page => {
    const text = readFileSync(join(projectRoot, page), 'utf8')
    const links = [...text.matchAll(/\[`?([\w./-]+\.ts)`?\]\(([^)#\s]+)/g)]
    return links.filter(([, name, target]) => basename(name!) !== basename(target!)).map(([link]) => `${page}: ${link}`)
  })
  assert.equal(wrong, [])
})

test('every page of docs is on the map', () => {
  const map = readFileSync(join(projectRoot, 'docs/README.md'), 'utf8')
  const missing = below
    .map(page => relative('docs', page))
    .filter(page => page.endsWith('.md') && page !== 'README.md' && !page.startsWith('explanation/decisions/'))
    .filter(page => !map.includes(`(${page})`))
  assert.equal(missing, [])
})

test('the list of errors is the one that counts', () => {
  assert.is(readFileSync(join(projectRoot, 'docs/reference/errors.md'), 'utf8'), errorTable(), 'run: npm run docs')
})

test.run()

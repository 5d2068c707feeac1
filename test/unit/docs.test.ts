// test/unit/docs.test: links of the pages lead to existing files, and generated pages are up to
// date.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { errorTable } from '../../cli/explain.ts'
import { commandsPage } from '../../cli/reference/commands-page.ts'
import { nested, settingEntries, settingsPage } from '../../cli/reference/settings-page.ts'
import { configSchema } from '../../runtime/config/schema.ts'
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

test('every test file that a workflow names exists', () => {
  const directory = join(projectRoot, '.github/workflows')
  const named = readdirSync(directory).flatMap(file =>
    [...readFileSync(join(directory, file), 'utf8').matchAll(/\b(?:unit|service|e2e|long)\/[\w-]+/g)].map(String),
  )
  assert.ok(named.length > 0)
  assert.equal(
    named.filter(name => !existsSync(join(projectRoot, 'test', `${name}.test.ts`))),
    [],
  )
})

test('every page of docs is on the map', () => {
  const map = readFileSync(join(projectRoot, 'docs/README.md'), 'utf8')
  const missing = below
    .map(page => relative('docs', page))
    .filter(page => page.endsWith('.md') && page !== 'README.md' && !page.startsWith('explanation/decisions/'))
    .filter(page => !map.includes(`(${page})`))
  assert.equal(missing, [])
})

test('the list of errors is up to date', () => {
  assert.is(readFileSync(join(projectRoot, 'docs/reference/errors.md'), 'utf8'), errorTable(), 'run: npm run docs')
})

test('the pages of commands and settings are up to date', async () => {
  const page = (name: string) => readFileSync(join(projectRoot, 'docs/reference', name), 'utf8')
  assert.is(page('commands.md'), await commandsPage(), 'run: npm run docs')
  assert.is(page('settings.md'), settingsPage(), 'run: npm run docs')
})

test('every setting has a description, and its example is valid', () => {
  const entries = settingEntries()
  assert.equal(
    entries.filter(({ node }) => !node.description).map(({ path }) => path.join('.')),
    [],
  )
  const examples = entries.flatMap(({ path, node }) => (node.examples ?? []).map(example => nested(path, example)))
  const together = examples.reduce<object>((all, example) => merged(all, example as object), {
    tables: { 'public.*': {} },
  })
  const text = JSON.stringify(together).replace(/\$\{\w+\}/g, 'x'.repeat(32))
  assert.equal(configSchema.safeParse(JSON.parse(text)).error?.issues, undefined)
})

/** Merges the two objects. If both have a value that is no object, the second one wins. */
function merged(first: object, second: object): object {
  const entries = Object.entries(second).map(([key, value]) => {
    const earlier = (first as Record<string, unknown>)[key]
    const both = [earlier, value].every(side => typeof side === 'object' && side !== null && !Array.isArray(side))
    return [key, both ? merged(earlier as object, value) : value]
  })
  return { ...first, ...Object.fromEntries(entries) }
}

test('decisions are numbered without gaps, and have one form', () => {
  const folder = join(projectRoot, 'docs/explanation/decisions')
  const wrong = readdirSync(folder)
    .sort()
    .filter((file, index) => {
      const text = readFileSync(join(folder, file), 'utf8')
      const head = new RegExp(`^# ${index + 1}\\. .+\n\n- Status: .+\n- Date: \\d{4}-\\d\\d-\\d\\d\n\n## Context\n`)
      const isNumbered = file.startsWith(`${String(index + 1).padStart(4, '0')}-`)
      return !isNumbered || !head.test(text) || !/\n## Decision\n.*\n## Consequences\n/s.test(text)
    })
  assert.equal(wrong, [])
})

test.run()

// test/unit/layers-text.test: how wide comments and pages are, and where paths come from.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from '../support/harness/root.ts'
import { descendants, placeOf, readSources } from '../support/harness/sources.ts'
import { assert, suite } from '../support/harness/suite.ts'

const commentWidth = 100
const pageWidth = 120

/** The command line generates this page. */
const generated = ['docs/reference/model.md']

const isComment = (line: string) => /^\s*(\/\/|\/?\*|--)/.test(line)
/** Rows of tables and targets of links cannot be broken. */
const isBreakable = (line: string) => !line.startsWith('|') && line.replace(/\]\([^)]*\)/g, ']').length > pageWidth

/** Files of the project's root and folders, except hidden and ignored ones. */
function filesOf(pattern: RegExp): string[] {
  const entries = readdirSync(projectRoot, { withFileTypes: true })
  const folders = entries.filter(entry => entry.isDirectory() && !/^\.|^(node_modules|dist)$/.test(entry.name))
  const below = folders.flatMap(({ name }) =>
    readdirSync(join(projectRoot, name), { recursive: true, encoding: 'utf8' }).map(file => join(name, file)),
  )
  const own = entries.filter(entry => entry.isFile()).map(({ name }) => name)
  return [...own, ...below].filter(path => pattern.test(path))
}

/** Asserts that no line of the files is too wide. */
function narrow(files: readonly string[], isWide: (line: string) => boolean): void {
  const wide = files.flatMap(path =>
    readFileSync(join(projectRoot, path), 'utf8')
      .split('\n')
      .flatMap((line, index) => (isWide(line) ? [`${path}:${index + 1}`] : [])),
  )
  assert.equal(wide, [])
}

const test = suite('layers of text')

test(`comment lines are at most ${commentWidth} columns wide`, () =>
  narrow(filesOf(/\.(ts|mjs|sql)$/), line => isComment(line) && line.length > commentWidth))

test(`lines of pages are at most ${pageWidth} columns wide, tables and targets of links excepted`, () =>
  narrow(
    filesOf(/\.md$/).filter(path => !generated.includes(path)),
    isBreakable,
  ))

test('tests take the paths of project files from root.ts, because compiled tests are in another directory', () => {
  const own = readSources().filter(({ path }) => /^(test|bench)\//.test(path))
  const users = own.flatMap(source =>
    descendants(source.program)
      .filter(node => node.type === 'MemberExpression' && node.object.type === 'MetaProperty')
      .filter(node => /\.(url|dirname|filename)$/.test(source.text.slice(node.start, node.end)))
      .map(node => placeOf(node, source).replace(/:.*/, '')),
  )
  assert.equal(users, ['test/support/harness/root.ts'])
})

test.run()

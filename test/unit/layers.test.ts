// test/unit/layers.test: rules about the structure of the code that no compiler checks.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Node } from 'oxc-parser'
import { projectRoot } from '../support/harness/root.ts'
import {
  descendants,
  type FunctionLike,
  functionsOf,
  linesOf,
  placeOf,
  readSources,
  type Source,
} from '../support/harness/sources.ts'
import { assert, suite } from '../support/harness/suite.ts'

/** A file imports from its own folder and from folders of a lower rank. */
const ranks: Record<string, number> = {
  contract: 0,
  runtime: 0,
  postgres: 1,
  kafka: 1,
  clickhouse: 1,
  modeling: 2,
  import: 2,
  producer: 3,
  consumer: 3,
  generator: 3,
  verify: 3,
  stack: 4,
  cli: 5,
  test: 6,
  bench: 6,
}

const sources = readSources()
const byPath = new Map(sources.map(source => [source.path, source]))
const folderOf = (path: string) => path.split('/')[0]!
const isSupport = (path: string) => path.startsWith('test/support/')
/** The folder whose sub-folders are ordered among themselves. */
const areaOf = (path: string) => (isSupport(path) ? 'test/support' : folderOf(path))
const isTest = ({ path }: Source) => ['test', 'bench'].includes(folderOf(path))

/** Fails with each offender on its own line. */
function none(offenders: readonly string[], rule: string): void {
  if (offenders.length > 0) throw new Error(`${rule}:\n      ${offenders.join('\n      ')}`)
}

/** Folders that a list of links names. */
function namesIn(links: string): string[] {
  return [...links.matchAll(/\[(\w+)\]\(/g)].map(([, name]) => name!).sort()
}

/** The name of an identifier, or the text of a string that may be one. */
function nameOf(node: Node): string | undefined {
  if (node.type === 'Identifier' || node.type === 'PrivateIdentifier') return node.name
  return node.type === 'Literal' && typeof node.value === 'string' ? node.value : undefined
}

const test = suite('layers')

test('every folder has a rank', () => {
  const folders = new Set(sources.map(({ path }) => folderOf(path)))
  none(
    [...folders].filter(folder => ranks[folder] === undefined),
    'give these folders a rank, or move their files',
  )
})

test('a file imports only from its own folder or a lower rank', () => {
  const upward = sources.flatMap(({ path, imports }) =>
    imports
      .filter(target => byPath.has(target) && folderOf(target) !== folderOf(path))
      .filter(target => ranks[folderOf(target)]! >= ranks[folderOf(path)]!)
      .map(target => `${path} imports ${target}`),
  )
  none(upward, 'imports against the direction of the data')
})

test('every folder has a README of at most 15 lines, which says what it imports', () => {
  const wrong = Object.keys(ranks).flatMap(folder => {
    const text = readFileSync(join(projectRoot, folder, 'README.md'), 'utf8')
    const said = /^- Imports: (.*?)\n(?:- |$)/ms.exec(text)?.[1] ?? ''
    const targets = sources.filter(({ path }) => folderOf(path) === folder).flatMap(({ imports }) => imports)
    const others = new Set(targets.filter(target => byPath.has(target)).map(folderOf))
    others.delete(folder)
    const differ = ranks[folder]! < ranks.cli! && [...others].sort().join() !== namesIn(said).join()
    const tooLong = folder !== 'bench' && text.split('\n').length > 16
    return [...(differ ? [`${folder} imports ${[...others].sort().join(', ')}`] : []), ...(tooLong ? [folder] : [])]
  })
  none(wrong, 'mend these README.md')
})

test('every relative import names a file with its extension', () => {
  const broken = sources.flatMap(({ path, imports }) =>
    imports
      .filter(target => ranks[folderOf(target)] !== undefined && target.includes('/') && !byPath.has(target))
      .map(target => `${path}: ${target}`),
  )
  none(broken, 'no such file')
})

test('no files import each other in a circle', () => {
  const finished = new Set<string>()
  const circles: string[] = []
  const visit = (path: string, trail: readonly string[]) => {
    const start = trail.indexOf(path)
    if (start >= 0) circles.push([...trail.slice(start), path].join(' → '))
    if (start >= 0 || finished.has(path)) return
    for (const target of byPath.get(path)?.imports ?? []) visit(target, [...trail, path])
    finished.add(path)
  }
  for (const { path } of sources) visit(path, [])
  none(circles, 'circles')
})

test('no sub-folders of a folder import each other in a circle', () => {
  const below = (path: string) => path.split('/').slice(0, -1).join('/')
  const links = new Map<string, Set<string>>()
  for (const { path, imports } of sources.filter(source => !isTest(source) || isSupport(source.path)))
    for (const target of imports.filter(target => byPath.has(target) && areaOf(target) === areaOf(path)))
      if (below(target) !== areaOf(path) && below(path) !== areaOf(path) && below(target) !== below(path))
        links.set(below(path), (links.get(below(path)) ?? new Set()).add(below(target)))
  const reaches = (from: string, to: string, seen = new Set<string>()): boolean =>
    [...(links.get(from) ?? [])].some(next => next === to || (!seen.has(next) && reaches(next, to, seen.add(next))))
  none(
    [...links.keys()].filter(folder => reaches(folder, folder)),
    'these import each other',
  )
})

test('no folder has more than 25 files, and no sub-folder has folders', () => {
  const folders = new Map<string, number>()
  for (const { path } of sources.filter(source => !isTest(source) || isSupport(source.path))) {
    const folder = path.split('/').slice(0, -1).join('/')
    folders.set(folder, (folders.get(folder) ?? 0) + 1)
  }
  const depth = (folder: string) => folder.split('/').length - areaOf(`${folder}/`).split('/').length
  none(
    [...folders].filter(([folder, files]) => files > 25 || depth(folder) > 1).map(([folder]) => folder),
    'too many files, or too deep',
  )
})

test('no file only re-exports', () => {
  const barrels = sources.filter(({ path, program }) => {
    const passesOn = program.body.filter(node => 'source' in node && node.type !== 'ImportDeclaration' && node.source)
    const imports = program.body.filter(node => node.type === 'ImportDeclaration')
    return (
      path.endsWith('/index.ts') || (passesOn.length > 0 && passesOn.length + imports.length === program.body.length)
    )
  })
  none(
    barrels.map(({ path }) => path),
    'import from the file that has it',
  )
})

test('no file is longer than 300 lines, no function longer than 60', () => {
  const files = sources.filter(({ text }) => text.split('\n').length > 301).map(({ path }) => path)
  const functions = sources.flatMap(source =>
    functionsOf(source)
      .filter(({ node }) => linesOf(node, source) > 60)
      .map(({ node }) => `${placeOf(node, source)} has ${linesOf(node, source)} lines`),
  )
  none([...files, ...functions], 'too long')
})

test('no function takes more than 4 positional parameters, or 7 where it only moves numbers and bytes', () => {
  const plain = /^(number|boolean|Buffer|AvroWriter)$/
  const isWide = ({ types }: FunctionLike) =>
    types.length > 7 || (types.length > 4 && !types.every(type => plain.test(type ?? '')))
  const wide = sources.flatMap(source =>
    functionsOf(source)
      .filter(isWide)
      .map(({ node }) => placeOf(node, source)),
  )
  none(wide, 'take an object')
})

test('every file says in its first line what it is', () => {
  const silent = sources.filter(({ path, text }) => {
    const [first = ''] = text.replace(/^#!.*\n/, '').split('\n')
    const names = [path.replace(/\.ts$/, ''), path.replace(/(\.test)?\.ts$/, '')]
    return !names.some(name => first.startsWith(`// ${name}: `))
  })
  none(
    silent.map(({ path }) => path),
    'no header',
  )
})

test('only one file reads the environment', () => {
  const readers = sources.filter(source => !isTest(source) && /process\s*\.\s*env\b/.test(source.text))
  assert.equal(
    readers.map(({ path }) => path),
    ['runtime/config/config.ts'],
  )
})

test('only one file imports uvu', () => {
  const users = sources.filter(({ imports }) => imports.some(name => /^uvu\b/.test(name)))
  assert.equal(
    users.map(({ path }) => path),
    ['test/support/harness/suite.ts'],
  )
})

test('every member of a class or an interface is used', () => {
  /** The driver calls these methods. */
  const calledByDriver = 'postgres/client/copy-out.ts'
  const members = /^(MethodDefinition|PropertyDefinition|TSPropertySignature|TSMethodSignature)$/
  const declared = new Map<string, string[]>()
  const named = new Map<string, number>()
  for (const source of sources)
    for (const node of descendants(source.program)) {
      const name = nameOf(node)
      if (name !== undefined) named.set(name, (named.get(name) ?? 0) + 1)
      const member = members.test(node.type) && 'key' in node ? nameOf(node.key as Node) : undefined
      if (member === undefined || source.path === calledByDriver) continue
      declared.set(member, [...(declared.get(member) ?? []), `${placeOf(node, source)} ${member}`])
    }
  none(
    [...declared].filter(([name, places]) => named.get(name)! <= places.length).flatMap(([, places]) => places),
    'declared and never named again',
  )
})

test('no file has a to-do mark or hides code from the compiler', () => {
  const words = [/\bTO(?:DO)\b/, /\bFIX(?:ME)\b/, /@ts-(?:ignore|expect-error|nocheck)/, /biome-(?:ignore)-all/]
  const marked = sources.flatMap(({ path, text }) =>
    words.filter(word => word.test(text)).map(word => `${path}: ${word.source}`),
  )
  none(marked, 'forbidden')
})

test('no identifier has a name that the glossary has replaced', () => {
  const retired =
    /\b(?:Outbox|Courier|Sink|Marks|Lanes?|Gate|Passage|HeldRows|Ledger|TableOutput|Workspace|Tenure|Folder|FoldLoop|FoldTable|Mood|Course|Floor|Habit|Life|Openings|Pace|Situation|Presence|BackOffice|TailRecord|TailPlace)\b/
  const used = sources.flatMap(source =>
    descendants(source.program)
      .filter(node => node.type === 'Identifier')
      .filter(({ name }) => retired.test(name))
      .map(node => `${placeOf(node, source)} ${node.name}`),
  )
  none(used, 'see docs/reference/glossary.md')
})

test('every test file is in a layer', () => {
  const tests = sources.filter(({ path }) => path.endsWith('.test.ts'))
  none(
    tests.map(({ path }) => path).filter(path => !/^test\/(unit|service|e2e|long)\//.test(path)),
    'the runner does not find these',
  )
})

test.run()

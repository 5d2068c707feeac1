// test/support/harness/sources: every TypeScript file of the project, parsed.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Node, type ParseResult, type Program, parseSync } from 'oxc-parser'
import { projectRoot } from './root.ts'

export interface Source {
  /** From the project's root, such as `kafka/client/admin.ts`. */
  readonly path: string
  readonly text: string
  readonly program: Program
  /** Relative imports and re-exports as paths from the root; packages by name. */
  readonly imports: readonly string[]
}

/**
 * A function, a method, or a function type, with the text of each parameter's type; `undefined` for
 * a parameter without one.
 */
export interface FunctionLike {
  readonly node: Node
  readonly types: readonly (string | undefined)[]
}

/** All TypeScript files of the project's folders, except ignored and hidden ones. */
export function readSources(): Source[] {
  return readdirSync(projectRoot, { withFileTypes: true })
    .filter(entry => entry.isDirectory() && !/^\.|^(node_modules|dist)$/.test(entry.name))
    .flatMap(({ name }) =>
      readdirSync(join(projectRoot, name), { recursive: true, encoding: 'utf8' }).map(file => join(name, file)),
    )
    .filter(path => path.endsWith('.ts'))
    .map(readSource)
}

function readSource(path: string): Source {
  const text = readFileSync(join(projectRoot, path), 'utf8')
  const { program, module, errors } = parseSync(path, text)
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]!.message}`)
  const imports = importsOf(module, text).map(name => (name.startsWith('.') ? join(path, '..', name) : name))
  return { path, text, program, imports }
}

function importsOf({ staticImports, staticExports, dynamicImports }: ParseResult['module'], text: string): string[] {
  const requests = [...staticImports, ...staticExports.flatMap(({ entries }) => entries)].map(
    ({ moduleRequest }) => moduleRequest?.value,
  )
  const dynamic = dynamicImports.map(
    ({ moduleRequest: { start, end } }) => /^'(.*)'$/.exec(text.slice(start, end))?.[1],
  )
  return [...new Set([...requests, ...dynamic].filter(name => name !== undefined))]
}

const found = new WeakMap<Node, readonly Node[]>()

/**
 * The node and all nodes below it, in the order of the text. The result is cached, because many
 * rules ask for the same files.
 */
export function descendants(root: Node): readonly Node[] {
  const known = found.get(root)
  if (known) return known
  const nodes: Node[] = []
  const add = (node: Node) => {
    nodes.push(node)
    for (const value of Object.values(node))
      if (Array.isArray(value)) value.filter(isNode).forEach(add)
      else if (isNode(value)) add(value)
  }
  add(root)
  found.set(root, nodes)
  return nodes
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && 'start' in value
}

export function functionsOf({ program, text }: Source): FunctionLike[] {
  return descendants(program).flatMap(node =>
    'params' in node && !node.type.startsWith('TSTypeParameter')
      ? [{ node, types: (node.params as Node[]).map(parameter => typeOf(parameter, text)) }]
      : [],
  )
}

function typeOf(parameter: Node, text: string): string | undefined {
  if (parameter.type === 'TSParameterProperty') return typeOf(parameter.parameter, text)
  if (parameter.type === 'AssignmentPattern')
    return typeOf(parameter.left, text) ?? literalType(text.slice(parameter.right.start, parameter.right.end))
  const type = 'typeAnnotation' in parameter ? parameter.typeAnnotation : undefined
  return type ? text.slice(type.start, type.end).replace(/^:\s*/, '') : undefined
}

function literalType(text: string): string | undefined {
  return /^(true|false)$/.test(text) ? 'boolean' : undefined
}

/** Number of lines from the node's first to its last. */
export function linesOf({ start, end }: Node, { text }: Source): number {
  return text.slice(start, end).split('\n').length
}

/** `kafka/client/admin.ts:12`. */
export function placeOf({ start }: Node, { path, text }: Source): string {
  return `${path}:${text.slice(0, start).split('\n').length}`
}

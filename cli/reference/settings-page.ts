// cli/reference/settings-page: docs/reference/settings.md: every setting, its default, an example.

import { stringify } from 'yaml'
import { z } from 'zod'
import { configSchema } from '../../runtime/config/schema.ts'
import { settings } from '../../runtime/config/settings.ts'

/** The parts of JSON Schema that the schema of the settings uses. */
interface Node {
  readonly description?: string
  readonly type?: string
  readonly format?: string
  readonly default?: unknown
  readonly examples?: readonly unknown[]
  readonly enum?: readonly string[]
  readonly minimum?: number
  readonly maximum?: number
  readonly items?: Node
  readonly anyOf?: readonly Node[]
  readonly properties?: Readonly<Record<string, Node>>
  readonly additionalProperties?: Node | false
}

/** A setting, or a group of settings, and the keys that lead to it. */
interface Entry {
  readonly path: readonly string[]
  readonly node: Node
}

const width = 100
const variables = new Map(settings.map(({ key, variable }) => [key, variable]))

/** Stands in a path for the name of any table. */
const anyTable = 'TABLE'

/** Every setting and every group of settings, each group before its members. */
export function settingEntries(): Entry[] {
  return below({ path: [], node: z.toJSONSchema(configSchema, { io: 'input' }) as Node })
}

/** The page, as one Markdown text. */
export function settingsPage(): string {
  const entries = settingEntries()
  const links = entries.map(({ path }) => {
    const depth = path.filter(key => key !== anyTable).length - 1
    return `${'  '.repeat(depth)}- [${path.join('.')}](#${anchor(path)})`
  })
  return `# Settings

Every setting of \`millrace.yaml\`. A setting that has an environment variable can also be given by
\`--set KEY=VALUE\`. TABLE is a table or a pattern of tables, such as \`public.orders\` or \`public.*\`.
[millrace.schema.json](../../millrace.schema.json) says the same for editors.
This page is made from [runtime/config/schema.ts](../../runtime/config/schema.ts) by
\`npm run docs\`.

${links.join('\n')}

${entries.map(section).join('\n')}`
}

function below({ path, node }: Entry): Entry[] {
  const members = Object.entries(node.properties ?? {}).map(([key, member]) => ({ path: [...path, key], node: member }))
  const perTable = node.additionalProperties || {}
  const ofTable = Object.entries(perTable.properties ?? {}).map(([key, member]) => ({
    path: [...path, anyTable, key],
    node: member,
  }))
  const alternatives = (node.anyOf ?? []).flatMap(option => below({ path, node: option }))
  return [...[...members, ...ofTable].flatMap(entry => [entry, ...below(entry)]), ...alternatives]
}

function section({ path, node }: Entry): string {
  const key = path.join('.')
  const facts = isGroup(node) ? [] : [...factsOf(path, node)]
  const list = facts.map(([name, text]) => `- ${name}: ${text}\n`).join('')
  return `## \`${key}\`\n\n${wrap(node.description ?? '')}\n${list === '' ? '' : `\n${list}`}`
}

function* factsOf(path: readonly string[], node: Node): Generator<[name: string, text: string]> {
  yield ['type', typeOf(node)]
  if (node.default !== undefined && node.default !== '') yield ['default', `\`${inYaml(node.default)}\``]
  else yield ['default', 'none']
  const unit = unitOf(path.at(-1)!)
  if (unit) yield ['unit', unit]
  if (node.examples?.length) yield ['example', `\`${inYaml(nested(path, node.examples[0])).slice(2, -2)}\``]
  const variable = variables.get(path.join('.'))
  if (variable) yield ['environment', `\`${variable}\``]
}

function isGroup(node: Node): boolean {
  return node.properties !== undefined
}

function typeOf(node: Node): string {
  if (node.anyOf) return node.anyOf.map(typeOf).join(', or ')
  if (node.enum) return `one of ${node.enum.map(value => `\`${value}\``).join(', ')}`
  if (node.type === 'integer') return `whole number${rangeOf(node)}`
  if (node.type === 'array') return `list of ${typeOf(node.items!)}s`
  if (node.additionalProperties && isGroup(node.additionalProperties)) return 'settings of each table, by its name'
  if (node.type === 'object' && node.properties) return `object of ${Object.keys(node.properties).join(', ')}`
  if (node.type === 'object') return `object of ${typeOf(node.additionalProperties || {})} by name`
  if (node.format === 'uri') return 'address'
  return node.type ?? 'object'
}

function rangeOf({ minimum, maximum }: Node): string {
  return maximum === Number.MAX_SAFE_INTEGER ? `, ${minimum} or more` : `, ${minimum} to ${maximum}`
}

/** The key of a setting ends with its unit. */
function unitOf(key: string): string | undefined {
  if (key.endsWith('Seconds')) return 'seconds'
  if (key.endsWith('Ms')) return 'milliseconds'
  return key.endsWith('Bytes') ? 'bytes' : undefined
}

/** The value below its keys, such as `{ source: { readers: 8 } }`. */
export function nested(path: readonly string[], value: unknown): unknown {
  const keys = path.map(key => (key === anyTable ? 'public.orders' : key))
  return keys.reduceRight((inner, key) => ({ [key]: inner }), value)
}

function inYaml(value: unknown): string {
  return stringify(value, { collectionStyle: 'flow', lineWidth: 0 }).trim()
}

/** The anchor that Markdown gives to the heading of a setting. */
function anchor(path: readonly string[]): string {
  return path.join('').toLowerCase()
}

function wrap(text: string): string {
  const lines: string[] = ['']
  for (const word of text.split(' ')) {
    if (lines.at(-1)!.length + word.length >= width) lines.push(word)
    else lines.push(`${lines.pop()!} ${word}`.trim())
  }
  return lines.join('\n')
}

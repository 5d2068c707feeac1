// runtime/config/settings: the settings of the schema one by one, each with its environment name
// and its parser of text.

import { z } from 'zod'
import { configSchema } from './schema.ts'

export interface Setting {
  /** Keys from the root, `['source', 'url']`. */
  readonly path: readonly string[]
  /** `source.url`. */
  readonly key: string
  /** `MILLRACE_SOURCE_URL`. */
  readonly variable: string
  readonly secret: boolean
  /** Whether it is an address, whose password is hidden in output. */
  readonly address: boolean
  /**
   * Parses text from the environment, a flag or `${VARIABLE}`. Text that is not a valid value stays
   * text.
   */
  fromText(text: string): unknown
}

type Schema = z.core.$ZodType

/** Every setting with a single value. `tables` can only be set in the file. */
export const settings: readonly Setting[] = collect(configSchema, [])

function collect(schema: Schema, path: readonly string[]): Setting[] {
  const inner = bare(schema)
  if (inner instanceof z.ZodObject) {
    return Object.entries(inner.shape).flatMap(([key, child]) => collect(child, [...path, key]))
  }
  if (inner instanceof z.ZodUnion) return inner.options.flatMap(option => collect(option, path))
  if (inner instanceof z.ZodRecord) return []
  const meta = metaOf(schema)
  const secret = meta.writeOnly === true
  return [
    {
      path,
      key: path.join('.'),
      variable: variableName(path),
      secret,
      address: meta.format === 'uri',
      fromText: text => fromText(inner, text),
    },
  ]
}

/** The schema without its default and without being optional. */
function bare(schema: Schema): Schema {
  const wrapped = schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional
  return wrapped ? bare(schema.unwrap()) : schema
}

function metaOf(schema: Schema): Record<string, unknown> {
  const own = z.globalRegistry.get(schema) ?? {}
  const wrapped = schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional
  return wrapped ? { ...metaOf(schema.unwrap()), ...own } : own
}

function variableName(path: readonly string[]): string {
  const words = path.map(key => key.replace(/[A-Z]/g, letter => `_${letter}`).toUpperCase())
  return ['MILLRACE', ...words].join('_')
}

function fromText(schema: Schema, text: string): unknown {
  if (schema instanceof z.ZodNumber) return /^-?\d+$/.test(text) ? Number(text) : text
  if (schema instanceof z.ZodBoolean) return text === 'true' || (text === 'false' ? false : text)
  if (schema instanceof z.ZodArray) return text.split(',').map(part => part.trim())
  return text
}

/**
 * JSON Schema of the configuration file, for editors; each description names the environment
 * variable.
 */
export function configJsonSchema(): object {
  const schema = z.toJSONSchema(configSchema, { io: 'input' })
  for (const { path, variable } of settings) {
    const node = path.reduce<JsonSchema | undefined>(child, schema as JsonSchema)
    if (node) node.description = `${node.description} Environment: ${variable}.`
  }
  return { ...schema, title: 'millrace.yaml', $id: 'millrace.schema.json' }
}

interface JsonSchema {
  description?: string
  properties?: Record<string, JsonSchema>
  anyOf?: JsonSchema[]
}

function child(node: JsonSchema | undefined, key: string): JsonSchema | undefined {
  return node?.properties?.[key] ?? node?.anyOf?.find(option => option.properties?.[key])?.properties?.[key]
}

// runtime/config/issue: a fault that the schema found, as a sentence for the author of the value.
// The sentence never repeats a value that could be a secret.

import type { z } from 'zod'
import { didYouMean } from '../suggest.ts'
import { configSchema } from './schema.ts'
import { settings } from './settings.ts'

export interface Fault {
  readonly path: readonly PropertyKey[]
  /** Whether the fault is the last key itself instead of its value. */
  readonly atKey: boolean
  readonly text: string
}

type Issue = z.core.$ZodIssue

/** Keys of earlier versions, with the hint to their replacement. */
const renamedKeys: Readonly<Record<string, string>> = {
  onRefusal: 'is called onError now. Write onError: stop, or onError: dead-letter instead of onRefusal: divert',
}

/** One fault per wrong key or value; `values` is what was checked. */
export function explainIssue(issue: Issue, values: unknown): Fault[] {
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(issue.path)
    const list = `Known here: ${known.join(', ')}.`
    return issue.keys.map(key => {
      const path = [...issue.path, key]
      return { path, atKey: true, text: renamedKeys[key] ?? `is no setting.${didYouMean(key, known) || ` ${list}`}` }
    })
  }
  return [{ path: issue.path, atKey: issue.code === 'invalid_key', text: explainValue(issue, values) }]
}

function explainValue(issue: Issue, values: unknown): string {
  const value = issue.path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], values)
  switch (issue.code) {
    case 'invalid_type':
      return value === undefined ? 'is missing' : `must be ${article(issue.expected)}, but is ${kindOf(value)}`
    case 'invalid_value':
      return `must be one of ${issue.values.join(', ')}.${didYouMean(String(value), issue.values.map(String))}`
    case 'too_small':
      return `must be at least ${issue.minimum}${unitOf(issue.origin)}`
    case 'too_big':
      return `must be at most ${issue.maximum}${unitOf(issue.origin)}`
    case 'invalid_key':
      return issue.issues[0]?.message ?? issue.message
    default:
      return issue.message
  }
}

function unitOf(origin: string): string {
  return { array: ' item', string: ' character' }[origin] ?? ''
}

function article(expected: string): string {
  const names: Record<string, string> = {
    int: 'a whole number',
    object: 'a section with keys',
    record: 'a section with keys',
    array: 'a list',
  }
  return names[expected] ?? `a ${expected}`
}

function kindOf(value: unknown): string {
  if (value === null) return 'empty'
  if (Array.isArray(value)) return 'a list'
  return { object: 'a section with keys', string: 'text' }[typeof value as string] ?? `a ${typeof value}`
}

function keysAt(path: readonly PropertyKey[]): string[] {
  if (path[0] === 'tables') return Object.keys(configSchema.shape.tables.unwrap().valueType.shape)
  const depth = path.length
  const below = settings.filter(({ path: own }) => own.length > depth && path.every((key, i) => own[i] === key))
  const known = new Set(below.map(({ path: own }) => own[depth]!))
  return depth === 0 ? [...known, 'tables'] : [...known]
}

// runtime/config/file: a YAML file as plain values, each with its line and column.
// This file does not know what the settings mean.

import { isMap, isNode, isPair, isScalar, isSeq, LineCounter, type Node, parseDocument, visit } from 'yaml'
import { MillraceError } from '../errors.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export interface ConfigFile {
  /** Settings as written, with `${VARIABLE}` replaced. Null values are left out. */
  readonly values: Record<string, unknown>
  /** Dotted keys of the values that contained a `${VARIABLE}` and so are text without a type. */
  readonly interpolated: ReadonlySet<string>
  /**
   * `file:line:column` of the value at the path, or of its nearest ancestor; of the key itself when
   * `atKey`.
   */
  locate(path: readonly PropertyKey[], atKey?: boolean): string
}

/** @throws {MillraceError} CONFIG_INVALID for broken YAML and for variables that are not set */
export function readConfigText(file: string, text: string, env: Environment): ConfigFile {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset)
    return `${file}:${line}:${col}`
  }
  const broken = document.errors[0] ?? document.warnings[0]
  if (broken) {
    throw new MillraceError('CONFIG_INVALID', {
      what: `the file is no valid YAML: ${broken.message}`,
      where: at(broken.pos[0]),
      next: 'correct the line; text with ${…}, : or # in it is safest in quotes',
      cause: broken,
    })
  }
  const interpolated = new Set<string>()
  visit(document, {
    Pair(_, { key }) {
      // As a key of an object it would set the prototype, and its value would be lost without an
      // error.
      if (isScalar(key) && key.value === '__proto__') throw nameTaken(at(key.range?.[0] ?? 0))
    },
    Scalar(position, node, ancestors) {
      if (position === 'key' || typeof node.value !== 'string' || !node.value.includes('${')) return
      node.value = interpolate(node.value, env, at(node.range?.[0] ?? 0))
      interpolated.add(keysOf(ancestors).join('.'))
    },
  })
  const values: unknown = document.toJS() ?? {}
  if (typeof values !== 'object' || Array.isArray(values)) {
    throw new MillraceError('CONFIG_INVALID', {
      what: 'the file must hold settings, one "key: value" per line',
      where: at(0),
      next: 'see README.md for an example',
    })
  }
  return {
    values: withoutNulls(values as Record<string, unknown>),
    interpolated,
    locate: (path, atKey = false) => at(offsetOf(document.contents, path, atKey)),
  }
}

function nameTaken(where: string): MillraceError {
  return new MillraceError('CONFIG_INVALID', {
    what: '__proto__ cannot be a key',
    where,
    next: 'cover a table or column of this name by a pattern or by personal: true, which withholds unclassified columns',
  })
}

function interpolate(text: string, env: Environment, where: string): string {
  return text.replace(/\$?\$\{([^}]*)\}/g, (whole, inside: string) => {
    if (whole.startsWith('$$')) return whole.slice(1)
    const [, name, fallback] = /^([A-Za-z_]\w*)(?::-(.*))?$/s.exec(inside) ?? []
    if (name === undefined) {
      throw new MillraceError('CONFIG_INVALID', {
        what: `"${whole}" is no variable`,
        where,
        next: 'write ${NAME} or ${NAME:-default}, or $${ for a literal ${',
      })
    }
    const value = env[name]
    if (value !== undefined && !(value === '' && fallback !== undefined)) return value
    if (fallback !== undefined) return fallback
    throw new MillraceError('CONFIG_INVALID', {
      what: `the environment variable ${name} is not set`,
      where,
      next: `set it, or give a default: \${${name}:-default}`,
    })
  })
}

function keysOf(ancestors: readonly unknown[]): string[] {
  return ancestors.filter(isPair).map(pair => String(isScalar(pair.key) ? pair.key.value : pair.key))
}

/**
 * A section whose lines are all commented out is null in YAML. Under `tables`, null is a table with
 * every default. Under `columns`, null stays, and is a fault: the column has no policy.
 */
function withoutNulls(values: Record<string, unknown>, section = ''): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(values)) {
    if (value === null && section !== 'tables' && section !== 'columns') continue
    const isSection = value === null ? section === 'tables' : typeof value === 'object' && !Array.isArray(value)
    kept[key] = isSection ? withoutNulls((value ?? {}) as Record<string, unknown>, key) : value
  }
  return kept
}

function offsetOf(root: Node | null, path: readonly PropertyKey[], atKey: boolean): number {
  let node: unknown = root
  let offset = root?.range?.[0] ?? 0
  for (const [depth, key] of path.entries()) {
    const pair = isMap(node) ? node.items.find(item => isScalar(item.key) && item.key.value === key) : undefined
    const value = isSeq(node) ? node.items[Number(key)] : pair?.value
    const wanted = atKey && depth === path.length - 1 ? pair?.key : (value ?? pair?.key)
    if (!isNode(wanted)) return offset
    offset = wanted.range?.[0] ?? offset
    node = value
  }
  return offset
}

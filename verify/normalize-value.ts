// verify/normalize-value: one text for equal values of a report, from either database.
// The type of the column in Postgres decides how both sides are compared.

import pg from 'pg'

const { builtins } = pg.types

export type ValueKind = 'number' | 'float' | 'boolean' | 'time' | 'date' | 'text'

const kinds: ReadonlyMap<number, ValueKind> = new Map<number, ValueKind>([
  [builtins.INT2, 'number'],
  [builtins.INT4, 'number'],
  [builtins.INT8, 'number'],
  [builtins.NUMERIC, 'number'],
  [builtins.FLOAT4, 'float'],
  [builtins.FLOAT8, 'float'],
  [builtins.BOOL, 'boolean'],
  [builtins.TIMESTAMP, 'time'],
  [builtins.TIMESTAMPTZ, 'time'],
  [builtins.DATE, 'date'],
])

const booleans: Readonly<Record<string, string>> = {
  true: 'true',
  t: 'true',
  1: 'true',
  false: 'false',
  f: 'false',
  0: 'false',
}

/** How values of a Postgres type (by OID) are compared. Other types are compared as text. */
export function kindOf(oid: number): ValueKind {
  return kinds.get(oid) ?? 'text'
}

/**
 * Numbers by value, times in UTC without trailing zeros. Text is in quotes, so that no text equals
 * NULL or a value of another type.
 * @param value as Postgres prints it in millrace's sessions, or as in ClickHouse's JSON with ISO
 *   times
 */
export function normalize(kind: ValueKind, value: unknown): string {
  if (value === null || value === undefined) return 'NULL'
  const text = String(value)
  switch (kind) {
    case 'number':
      return normalizeNumber(text)
    case 'float':
      return String(Number(text.replace(/^(-?)inf$/, '$1Infinity')))
    case 'boolean':
      return booleans[text] ?? text
    case 'time':
      return normalizeTime(text)
    case 'date':
      return text
    case 'text':
      return `'${text.replaceAll("'", "''")}'`
  }
}

/** Exact, at any length: `007.50` is `7.5`, and `-0.00` is `0`. */
function normalizeNumber(text: string): string {
  const parts = /^(-?)0*(\d*)(?:\.(\d*?)0*)?$/.exec(text)
  if (parts === null || text === '') return text
  const [, sign, whole, fraction] = parts
  const digits = `${whole || '0'}${fraction ? `.${fraction}` : ''}`
  return digits === '0' ? digits : `${sign}${digits}`
}

/** Postgres prints `2025-01-31 10:00:00.5+00`, ClickHouse `2025-01-31T10:00:00.500000Z`. */
function normalizeTime(text: string): string {
  const [, day, time, fraction = ''] = /^(\S+)[ T]([\d:]+)(?:\.(\d*?)0*)?(?:\+00|Z)?$/.exec(text) ?? [undefined, text]
  return time === undefined ? text : `${day}T${time}${fraction && `.${fraction}`}Z`
}

// postgres/client/quote: names as they stand in SQL, also in statements that people are told to run.

/**
 * The name in quotation marks. One with control characters becomes `U&"a\000Ab"`, so that a statement stays on one line wherever it is printed.
 * @see https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
 */
export function quoteName(name: string): string {
  const doubled = name.replaceAll('"', '""')
  if (!/\p{Cc}/u.test(name)) return `"${doubled}"`
  const escaped = doubled
    .replaceAll('\\', '\\\\')
    .replace(/\p{Cc}/gu, character => `\\${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`)
  return `U&"${escaped}"`
}

export function quoteTable({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return `${quoteName(schema)}.${quoteName(name)}`
}

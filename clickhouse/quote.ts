// clickhouse/quote: names and strings as SQL text.
// May know: nothing. Names come from an attacker-writable catalog, so nothing reaches SQL unquoted.

/** A backticked identifier. ClickHouse honours backslash escapes inside, so both are escaped. */
export function quoteName(name: string): string {
  return `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``
}

export function quoteString(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}

/** `database`.`table`, both quoted. */
export function quotePath(database: string, table: string): string {
  return `${quoteName(database)}.${quoteName(table)}`
}

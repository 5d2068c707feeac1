// clickhouse/quote: names and strings as SQL text.
// Names come from an attacker-writable catalog, so nothing reaches SQL unquoted.

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

/**
 * A name that no column has, for an alias or a parameter beside them: ClickHouse takes an alias for the column of the same name, also inside
 * the expression that the alias stands for.
 */
export function freeName(columns: Iterable<string>, name: string): string {
  const taken = new Set(columns)
  let free = name
  while (taken.has(free)) free += '_'
  return free
}

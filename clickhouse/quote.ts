// clickhouse/quote: identifiers and literals as SQL text of ClickHouse.
// The source's catalog chooses the names, so no name and no text reaches a statement unquoted.

/**
 * An identifier between backticks.
 * @see https://clickhouse.com/docs/sql-reference/syntax#identifiers: backslash escapes count inside
 */
export function quoteName(name: string): string {
  return `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``
}

/** `database`.`table`. */
export function quotePath(database: string, table: string): string {
  return `${quoteName(database)}.${quoteName(table)}`
}

/** A string literal. @see https://clickhouse.com/docs/sql-reference/syntax#string */
export function quoteString(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}

/**
 * A name for an alias or a parameter that none of the columns has. ClickHouse resolves a column's
 * name to an alias of the same name, even inside the expression of that alias.
 */
export function unusedName(columns: Iterable<string>, name: string): string {
  const taken = new Set(columns)
  let unused = name
  while (taken.has(unused)) unused += '_'
  return unused
}

// postgres/client/quote: names and strings as SQL text of Postgres, also in statements that people
// are asked to run.
// The source's catalog chooses the names, so no name and no text reaches a statement unquoted.

/**
 * An identifier. A name with control characters becomes `U&"a\000Ab"`, so that a printed statement
 * stays on one line.
 * @see https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
 */
export function quoteName(name: string): string {
  if (!/\p{Cc}/u.test(name)) return quoteReplicationName(name)
  const escaped = name
    .replaceAll('"', '""')
    .replaceAll('\\', '\\\\')
    .replace(/\p{Cc}/gu, character => `\\${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`)
  return `U&"${escaped}"`
}

/** "schema"."table". */
export function quoteTable({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return `${quoteName(schema)}.${quoteName(name)}`
}

/**
 * A table in a FROM clause or a publication, without the tables that inherit from it. A partitioned
 * table stays with its partitions.
 * @param table with `kind` as in `pg_class.relkind`
 */
export function quoteOnly(table: { readonly schema: string; readonly name: string; readonly kind: string }): string {
  return table.kind === 'p' ? quoteTable(table) : `ONLY ${quoteTable(table)}`
}

/**
 * A string literal, whatever `standard_conforming_strings` is.
 * @see https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-STRINGS-ESCAPE
 */
export function quoteString(text: string): string {
  const quoted = quoteReplicationString(text)
  return text.includes('\\') ? `E${quoted.replaceAll('\\', '\\\\')}` : quoted
}

/** An identifier in a replication command, which has no U& form. */
export function quoteReplicationName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/**
 * A string literal in a replication command, which has no E form and leaves backslashes as they
 * are.
 */
export function quoteReplicationString(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

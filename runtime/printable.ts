// runtime/printable: foreign text, such as names from a catalog, made safe for a terminal and a
// log.

/** Control characters, line separators, and characters that change the direction of writing. */
const unprintable = /[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

const short = new Map([
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
])

/**
 * The text on one line. Escapes such as `\n` and `\u001b` replace characters that end the line or
 * control the terminal.
 */
export function oneLine(text: string): string {
  return text.replace(
    unprintable,
    character => short.get(character) ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/**
 * The first 120 characters of a statement, on one line, without its string literals: they may be
 * values of rows.
 */
export function statementText(sql: string): string {
  const hidden = sql.trim().replace(/'(?:''|\\.|[^'\\])*'?/gs, "'…'")
  return hidden.replace(/\s+/g, ' ').slice(0, 120)
}

/**
 * Every line made safe, and all but the first indented: foreign text cannot imitate a line of the
 * log.
 */
export function indented(text: string, indent: string): string {
  const lines = text.split(/\r?\n/).map(line => oneLine(line.trimEnd()))
  return lines.map((line, index) => (index === 0 ? line : `${indent}${line.trimStart()}`)).join('\n')
}

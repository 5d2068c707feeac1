// modeling/sql-text: finds places in a statement of a model, without parsing it.

/** Quoted text, a quoted name or a comment. A parenthesis inside one of them does not count. */
const opaque = /'(?:\\.|''|[^'\\])*'|`(?:\\.|[^`\\])*`|"(?:\\.|[^"\\])*"|--[^\n]*|\/\*.*?\*\//sy

/** Index of the character that `wanted` finds first outside of quotes and of inner parentheses. */
function scan(sql: string, start: number, wanted: (rest: string, depth: number) => boolean): number {
  let depth = 0
  for (let index = start; index < sql.length; ) {
    opaque.lastIndex = index
    if (opaque.test(sql)) {
      index = opaque.lastIndex
      continue
    }
    if (wanted(sql.slice(index, index + 24), depth)) return index
    if (sql[index] === '(') depth++
    if (sql[index] === ')') depth--
    index++
  }
  return -1
}

/** Index of the parenthesis that closes the one at `open`; −1 if there is none. */
export function closingParenthesis(sql: string, open: number): number {
  return scan(sql, open, (rest, depth) => rest.startsWith(')') && depth === 1)
}

/** Index where one of the clauses begins, outside of parentheses; −1 if there is none. */
export function clauseStart(sql: string, start: number, clauses: RegExp): number {
  const isStart = (index: number) => index === 0 || /\s|\)/.test(sql[index - 1]!)
  for (let from = start; ; ) {
    const index = scan(sql, from, (rest, depth) => depth === 0 && clauses.test(rest))
    if (index === -1 || isStart(index)) return index
    from = index + 1
  }
}

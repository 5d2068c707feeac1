// modeling/query-tree: parses EXPLAIN QUERY TREE, ClickHouse's analysis of a SELECT with resolved
// names.

import type { Clickhouse } from '../clickhouse/client.ts'

export interface QueryNode {
  /** QUERY, UNION, TABLE, JOIN, ARRAY_JOIN, FUNCTION, LAMBDA, COLUMN, CONSTANT, LIST, … */
  readonly kind: string
  readonly id: number
  /** Such as `column_name`, `source_id`, `function_name`, `table_name`. */
  readonly attributes: ReadonlyMap<string, string>
  /** Of a query: names of its columns, in order. */
  readonly columns: string[]
  /** By section, such as PROJECTION, ARGUMENTS, EXPRESSION. */
  readonly children: Map<string, QueryNode[]>
}

/**
 * The analysed query before any optimization pass. Views are not expanded.
 * @see https://clickhouse.com/docs/sql-reference/statements/explain#explain-query-tree
 */
export async function readQueryTree(clickhouse: Clickhouse, select: string): Promise<QueryNode> {
  const rows = await clickhouse.rows<{ explain: string }>(`EXPLAIN QUERY TREE run_passes = 1, passes = 1 ${select}`)
  return parseQueryTree(rows.flatMap(({ explain }) => explain.split('\n')))
}

/**
 * A line is a node (`COLUMN id: 6, column_name: …`), the name of a section, or a column of a query.
 * Two spaces are a level.
 */
function parseQueryTree(lines: readonly string[]): QueryNode {
  const root: QueryNode = emptyNode('ROOT', -1, '')
  const path: { readonly depth: number; readonly node: QueryNode; section: string }[] = [
    { depth: -1, node: root, section: '' },
  ]
  for (const line of lines) {
    const depth = line.search(/\S/)
    if (depth < 0) continue
    const text = line.trim()
    const [, kind, id, rest] = /^([A-Z_]+) id: (\d+)(?:, (.*))?$/.exec(text) ?? []
    while (path.at(-1)!.depth >= depth) path.pop()
    const parent = path.at(-1)!
    if (kind !== undefined) {
      const node = emptyNode(kind, Number(id), rest ?? '')
      const siblings = parent.node.children.get(parent.section) ?? []
      parent.node.children.set(parent.section, [...siblings, node])
      path.push({ depth, node, section: '' })
    } else if (parent.section === 'PROJECTION COLUMNS' && depth > parent.depth + 2) {
      parent.node.columns.push(text.split(' ')[0]!)
    } else parent.section = text.replace(/^EXPRESSION .*/, 'EXPRESSION')
  }
  return root.children.get('')![0]!
}

/** The node itself, and then all nodes below it. */
export function* nodesBelow(node: QueryNode): Generator<QueryNode> {
  yield node
  for (const child of [...node.children.values()].flat()) yield* nodesBelow(child)
}

/** The nodes of a section. A LIST is replaced by its members. */
export function members(node: QueryNode, section: string): QueryNode[] {
  const found = node.children.get(section) ?? []
  return found.flatMap(each => (each.kind === 'LIST' ? (each.children.get('') ?? []) : [each]))
}

function emptyNode(kind: string, id: number, attributes: string): QueryNode {
  // A type may contain commas, as in Decimal(15, 2), so an attribute ends where the next one
  // begins.
  const pairs = attributes.split(/, (?=[a-z_]+: )/).map(pair => pair.split(/: (.*)/s) as [string, string])
  return { kind, id, attributes: new Map(pairs), columns: [], children: new Map() }
}

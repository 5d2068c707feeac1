// modeling/lineage: which columns of which tables a column of a SELECT is computed from.

import type { Clickhouse } from '../clickhouse/client.ts'
import { members, nodesBelow, type QueryNode, readQueryTree } from './query-tree.ts'

/** A column of a table or view that a SELECT reads. */
interface Origin {
  /** As in the query tree: `database.table`. */
  readonly table: string
  readonly column: string
}

export interface Lineage {
  /** Tables and views that the SELECT reads, in order of appearance, each once. */
  readonly reads: readonly string[]
  /**
   * Column of the result → columns that its value is computed from. Filters and keys of joins and
   * groups do not count.
   */
  readonly columns: ReadonlyMap<string, readonly Origin[]>
}

/** The lineage of one SELECT. A view that it reads is not followed further. */
export async function readLineage(clickhouse: Clickhouse, select: string): Promise<Lineage> {
  return traceLineage(await readQueryTree(clickhouse, select))
}

function traceLineage(tree: QueryNode): Lineage {
  const trace = new Trace(tree)
  const reads = [...nodesBelow(tree)].filter(({ kind }) => kind === 'TABLE').map(tableOf)
  return {
    reads: [...new Set(reads)],
    columns: new Map(outputs(tree).map(name => [name, trace.column(tree, name, [])])),
  }
}

/** The wanted elements of nested tuples, outermost first; empty for a whole value. */
type Path = readonly number[]

class Trace {
  readonly #nodes = new Map<number, QueryNode>()
  /** By the id of a lambda, the arrays that it is called with. */
  readonly #arrays = new Map<number, readonly QueryNode[]>()
  readonly #under = new Set<string>()

  constructor(tree: QueryNode) {
    for (const node of nodesBelow(tree)) {
      if (node.children.size > 0 || !this.#nodes.has(node.id)) this.#nodes.set(node.id, node)
      const [first, ...rest] = members(node, 'ARGUMENTS')
      if (node.kind === 'FUNCTION' && first?.kind === 'LAMBDA') this.#arrays.set(first.id, rest)
    }
  }

  /** A column of a query, of each part of a union, or of a table. */
  column(source: QueryNode, name: string, path: Path): Origin[] {
    if (source.kind === 'TABLE') return [{ table: tableOf(source), column: name }]
    if (source.kind === 'UNION') {
      const place = outputs(source).indexOf(name)
      return distinct(members(source, 'QUERIES').flatMap(part => this.column(part, outputs(part)[place] ?? name, path)))
    }
    if (source.kind === 'QUERY') {
      const expression = members(source, 'PROJECTION')[source.columns.indexOf(name)]
      return expression === undefined ? [] : distinct(this.#expression(expression, path))
    }
    if (source.kind === 'LAMBDA') return this.#all(this.#arrays.get(source.id) ?? [], path)
    const definition = [...nodesBelow(source)].find(
      node => node.attributes.get('column_name') === name && node.children.has('EXPRESSION'),
    )
    return definition === undefined ? [] : this.#all(members(definition, 'EXPRESSION'), path)
  }

  #all(nodes: readonly QueryNode[], path: Path): Origin[] {
    return nodes.flatMap(node => this.#expression(node, path))
  }

  #expression(node: QueryNode, path: Path): Origin[] {
    if (node.kind === 'FUNCTION') return this.#call(node, path)
    if (node.kind === 'LAMBDA') return this.#all(members(node, 'EXPRESSION'), path)
    if (node.kind === 'QUERY' || node.kind === 'UNION')
      return outputs(node).flatMap(name => this.column(node, name, path))
    if (node.kind !== 'COLUMN') return []
    if (node.children.has('EXPRESSION')) return this.#all(members(node, 'EXPRESSION'), path)
    const source = this.#nodes.get(Number(node.attributes.get('source_id')))
    const name = node.attributes.get('column_name')
    if (source === undefined || name === undefined) return []
    const step = `${source.id} ${name} ${path}`
    if (this.#under.has(step)) return []
    this.#under.add(step)
    const origins = this.column(source, name, path)
    this.#under.delete(step)
    return origins
  }

  #call(node: QueryNode, path: Path): Origin[] {
    const call = node.attributes.get('function_name')
    const given = members(node, 'ARGUMENTS')
    if (call === 'tupleElement') {
      const place = /^UInt64_(\d+)$/.exec(given[1]?.attributes.get('constant_value') ?? '')?.[1]
      return this.#all(given.slice(0, 1), place === undefined ? [] : [Number(place), ...path])
    }
    const [place, ...rest] = path
    if (place !== undefined && call === 'tuple') return this.#all(given.slice(place - 1, place), rest)
    if (place !== undefined && call === 'if') return this.#all(given.slice(1), path)
    // The lambda leads to the arrays that it uses. Only a filter returns elements of the array
    // itself.
    if (call === 'arrayMap') return this.#all(given.slice(0, 1), path)
    if (place !== undefined && given[0]?.kind === 'LAMBDA') return this.#all(given.slice(1), path)
    const origins = this.#all(given, path)
    // A rank has no arguments. Its value depends on the order of the window.
    return origins.length > 0 ? origins : this.#all(windowOrder(node), path)
  }
}

function windowOrder(node: QueryNode): QueryNode[] {
  return members(node, 'WINDOW').flatMap(window =>
    members(window, 'ORDER BY').flatMap(sort => members(sort, 'EXPRESSION')),
  )
}

/** Names of the columns; those of a union are those of its first part. */
function outputs(node: QueryNode): readonly string[] {
  if (node.kind !== 'UNION') return node.columns
  const [first] = members(node, 'QUERIES')
  return first === undefined ? [] : outputs(first)
}

function tableOf(node: QueryNode): string {
  return node.attributes.get('table_name') ?? ''
}

function distinct(origins: readonly Origin[]): Origin[] {
  return [...new Map(origins.map(origin => [`${origin.table}\n${origin.column}`, origin])).values()]
}

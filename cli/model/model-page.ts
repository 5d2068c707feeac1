// cli/model/model-page: a model as a Markdown page: layers, entities, views, columns.
// It works for every model: all names are arguments.

import { tableName } from '../../contract/table.ts'
import type { DescribedColumn, DescribedObject } from '../../modeling/describe.ts'
import type { Model } from '../../modeling/model.ts'
import type { SourceTable } from '../../postgres/catalog/catalog.ts'
import type { ForeignKey } from '../../postgres/catalog/keys.ts'
import { type Config, tableOptions } from '../../runtime/config/config.ts'

export interface ModelParts {
  readonly config: Config
  readonly model: Model
  /** Captured tables, from the source's catalog. */
  readonly sources: readonly SourceTable[]
  readonly foreignKeys: readonly ForeignKey[]
  /** By the names in a generation's database. */
  readonly objects: ReadonlyMap<string, DescribedObject>
}

/** A described object under its published name. */
interface Shown {
  readonly database: string
  readonly name: string
  readonly object: DescribedObject
}

/** The whole page. */
export function modelPage(parts: ModelParts): string {
  const { model, objects } = parts
  const shown = model.publish.map(
    ({ database, name, source }): Shown => ({ database, name, object: objects.get(source)! }),
  )
  const layers = [...new Set(shown.map(({ database }) => database))]
  const inner = [...objects.values()].filter(object => isInner(object, shown))
  return `${[
    `# The model \`${parts.config.name}\``,
    intro,
    ...layerTable(parts, layers, shown),
    '## Source',
    ...sourceDiagram(parts),
    ...parts.sources.flatMap(source => sourceTable(parts, source)),
    ...layers.flatMap(layer =>
      layerSection(
        parts,
        layer,
        shown.filter(({ database }) => database === layer),
      ),
    ),
    '## Between the layers',
    'Aggregates and helpers in the database of each generation. They have no stable name, and reports should not read them.',
    ...inner.flatMap(object => [`### ${object.name}`, ...objectLines(object)]),
  ].join('\n\n')}\n`
}

const intro = `\`npm run docs\` makes this page from the source's catalog and from ClickHouse's own analysis of the model's SQL
(\`EXPLAIN QUERY TREE\`). A test compares them. **From** names the source columns that a value is computed from, through
all steps between. Columns that only filter, join or group rows are not listed. An empty cell is a constant, a count of
rows, or a column that millrace adds.`

function isInner(object: DescribedObject, shown: readonly Shown[]): boolean {
  return object.kind !== 'captured' && !shown.some(view => view.object === object)
}

function layerTable({ model }: ModelParts, layers: readonly string[], shown: readonly Shown[]): string[] {
  const rows = layers.map(layer => {
    const views = shown.filter(({ database }) => database === layer).length
    return `| [\`${layer}\`](#${layer}) | ${model.layers[layer] ?? ''} | ${views} |`
  })
  return ['## Layers', `| database | what it holds | views |\n|---|---|---|\n${rows.join('\n')}`]
}

function sourceDiagram({ sources, foreignKeys }: ModelParts): string[] {
  const entities = sources.map(({ name, key, columns }) => {
    const lines = columns.map(
      column => `    ${word(column.pgType)} ${word(column.name)}${key.includes(column.name) ? ' PK' : ''}`,
    )
    return `  ${word(name)} {\n${lines.join('\n')}\n  }`
  })
  const captured = new Set(sources.map(tableName))
  const relations = foreignKeys
    .filter(
      ({ schema, table, targetSchema, target }) =>
        captured.has(tableName({ schema, name: table })) &&
        captured.has(tableName({ schema: targetSchema, name: target })),
    )
    .map(({ table, target, columns }) => {
      const source = sources.find(({ name }) => name === table)!
      const optional = source.columns.some(({ name, nullable }) => nullable && columns.includes(name))
      return `  ${word(target)} ${optional ? '|o' : '||'}--o{ ${word(table)} : ${word(columns.join('_'))}`
    })
  return [mermaid('erDiagram', [...entities, ...relations])]
}

function sourceTable({ config }: ModelParts, source: SourceTable): string[] {
  const policies = new Map(Object.entries(tableOptions(config, source.schema, source.name)?.columns ?? {}))
  const rows = source.columns.map(
    ({ name, pgType, comment }) =>
      `| ${name} | ${cell(pgType)} | ${policies.get(name) ?? 'keep'} | ${cell(comment ?? '')} |`,
  )
  return [
    `### ${tableName(source)}`,
    source.comment ?? '',
    `| column | type | leaves as | meaning |\n|---|---|---|---|\n${rows.join('\n')}`,
  ]
}

function layerSection(parts: ModelParts, layer: string, views: readonly Shown[]): string[] {
  const derived = views.filter(({ object }) => object.kind !== 'captured')
  return [
    `## ${layer}`,
    parts.model.layers[layer] ?? '',
    ...starDiagram(derived),
    ...(derived.length === 0 ? [] : [flowDiagram(parts, derived)]),
    ...views.flatMap(({ name, object }) => [`### ${layer}.${name}`, ...objectLines(object)]),
  ]
}

/**
 * Each entity shows its own key and the columns that refer to another view of its database. A
 * column refers to a view when its comment names the view.
 */
function starDiagram(views: readonly Shown[]): string[] {
  const references = views.flatMap(({ name, object }) =>
    object.columns.flatMap(column => {
      const target = views.find(other => other.name !== name && new RegExp(`\\b${other.name}\\b`).test(column.comment))
      return target === undefined ? [] : [{ from: name, to: target.name, column }]
    }),
  )
  if (references.length === 0) return []
  const entities = views.map(({ name, object: { columns } }) => {
    const keys = new Set([columns[0]!, ...references.filter(({ from }) => from === name).map(({ column }) => column)])
    const lines = [...keys].map(
      ({ name: column, type }, index) => `    ${word(type)} ${word(column)} ${index === 0 ? 'PK' : 'FK'}`,
    )
    return `  ${word(name)} {\n${lines.join('\n')}\n  }`
  })
  const relations = references.map(({ from, to, column }) => `  ${to} ||--o{ ${from} : ${word(column.name)}`)
  return [mermaid('erDiagram', [...entities, ...relations])]
}

/** From the captured tables, through the objects in between, to the views. */
function flowDiagram({ objects }: ModelParts, views: readonly Shown[]): string {
  const edges = new Set<string>()
  const follow = ({ name, reads }: DescribedObject): void => {
    for (const read of reads) {
      const edge = `  ${word(read)}["${read}"] --> ${word(name)}["${name}"]`
      if (edges.has(edge)) continue
      edges.add(edge)
      const before = objects.get(read)
      if (before !== undefined && before.kind !== 'captured') follow(before)
    }
  }
  for (const { object } of views) follow(object)
  return mermaid('flowchart LR', [...edges].sort())
}

function objectLines({ comment, columns, reads }: DescribedObject): string[] {
  const rows = columns.map(
    column => `| ${column.name} | ${cell(column.type)} | ${fromText(column)} | ${cell(column.comment)} |`,
  )
  return [
    cell(comment),
    `Reads ${reads.map(name => `\`${name}\``).join(', ')}.`,
    `| column | type | from | meaning |\n|---|---|---|---|\n${rows.join('\n')}`,
  ]
}

function fromText({ sources }: DescribedColumn): string {
  return sources.map(name => `\`${name}\``).join(', ')
}

function mermaid(kind: string, lines: readonly string[]): string {
  return `\`\`\`mermaid\n${kind}\n${lines.join('\n')}\n\`\`\``
}

/** A type or name in Mermaid's syntax: without spaces, quotes and commas. */
function word(text: string): string {
  return text.replace(/[^\p{L}\p{N}_]+/gu, '_').replace(/^_+|_+$/g, '')
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}

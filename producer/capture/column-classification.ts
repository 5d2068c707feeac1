// producer/capture/column-classification: whether each column of a table is sent, and in which
// form.

import type { SourceColumn } from '../../postgres/catalog/catalog.ts'
import type { Config, Policy, TableOptions } from '../../runtime/config/config.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { ProducerContext } from '../context.ts'
import type { ColumnPolicy } from './column-policy.ts'

export interface Classified {
  /** Columns that are sent, in the source's order. */
  readonly passing: readonly { readonly column: SourceColumn; readonly policy: ColumnPolicy }[]
  /** Columns of a personal table that the configuration does not classify. They are withheld. */
  readonly unclassified: readonly string[]
  readonly faults: readonly string[]
}

/** A column without a policy is sent unchanged, unless its table is personal. */
export function classify(
  columns: readonly SourceColumn[],
  key: readonly string[],
  { personal, columns: policies, text }: TableOptions,
): Classified {
  const passing: { column: SourceColumn; policy: ColumnPolicy }[] = []
  const unclassified: string[] = []
  for (const column of columns) {
    const policy = policyOf(policies, column.name) ?? (personal ? undefined : 'keep')
    if (policy === undefined) unclassified.push(column.name)
    else if (policy !== 'drop') passing.push({ column, policy })
  }
  const faults = Object.entries(policies).flatMap(([name, policy]) => {
    const column = columns.find(candidate => candidate.name === name)
    if (column === undefined) return [`columns names ${name}, which it does not have`]
    if (key.includes(name) && (policy === 'drop' || policy === 'mask')) {
      return [
        `its column ${name} cannot be ${policy === 'drop' ? 'dropped' : 'masked'}, because it identifies rows; keep or hash it`,
      ]
    }
    if (policy === 'mask' && !masked.has(column.type.name)) {
      return [`its column ${name} is ${column.pgType}, and only text can be masked; drop or hash it`]
    }
    return text.includes(name) && policy !== 'keep' ? [`its column ${name} is under text and also to ${policy}`] : []
  })
  const nameless = unclassified.filter(name => key.includes(name))
  faults.push(...nameless.map(name => `its column ${name} is part of a key and not classified under columns`))
  return { passing, unclassified, faults }
}

/** Base types whose values are text. */
const masked: ReadonlySet<string> = new Set(['text', 'varchar', 'bpchar', 'name'])

function policyOf(policies: Readonly<Record<string, Policy>>, name: string): Policy | undefined {
  return Object.hasOwn(policies, name) ? policies[name] : undefined
}

/** Whether any column is hashed, so that a key is needed. */
export function hashesAnything({ tables }: Config): boolean {
  return Object.values(tables).some(({ columns = {} }) => Object.values(columns).includes('hash'))
}

/** The error for columns that must be classified before their table can be loaded. */
export function unclassifiedError(
  tables: readonly { readonly name: string; readonly columns: readonly string[] }[],
): MillraceError {
  return new MillraceError('TABLE_NOT_CAPTURABLE', {
    what: tables
      .map(({ name, columns }) => `${name}: the table is personal, and nobody has classified ${columns.join(', ')}`)
      .join('\n  '),
    where: 'tables in the configuration',
    next: 'say for each column under tables.<name>.columns whether to keep, drop, mask or hash it',
  })
}

/**
 * Reports in the log once, and in the status from then on, that columns of a personal table are
 * withheld.
 */
export function reportWithheld(
  { progress, log }: Pick<ProducerContext, 'progress' | 'log'>,
  table: string,
  columns: readonly string[],
): void {
  for (const column of progress.withheld(table, columns)) {
    log.warn('a column is withheld, because its table is personal and the column is not classified', {
      table,
      column,
      next: `classify it under tables.${table}.columns; to let it leave, start a new generation: millrace producer --new-generation`,
    })
  }
}

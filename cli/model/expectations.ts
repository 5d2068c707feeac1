// cli/model/expectations: a model's rules for its views: keys, references, allowed values.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'
import type { Model } from '../../modeling/model.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { ReportCheck } from '../../verify/checks.ts'

const expectationSchema = z.strictObject({
  /** Columns that identify a row. */
  key: z.array(z.string()).min(1).optional(),
  /** Columns that are never null. The column of a key of one column is never null anyway. */
  required: z.array(z.string()).default([]),
  /** Column → the `database.view.column` that contains each of its values. */
  references: z.record(z.string(), z.string().regex(/^\w+\.\w+\.\w+$/)).default({}),
  /** Column → its only values. */
  values: z.record(z.string(), z.array(z.string()).min(1)).default({}),
})

/** Database → view → rules. */
const expectationsSchema = z.record(z.string(), z.record(z.string(), expectationSchema))

export type Expectation = z.infer<typeof expectationSchema>

const nothing: Expectation = { required: [], references: {}, values: {} }

/** A plain lookup would find `constructor` in every object, and names come from the source. */
export function ownOf<Value>(values: Readonly<Record<string, Value>> | undefined, name: string): Value | undefined {
  return values !== undefined && Object.hasOwn(values, name) ? values[name] : undefined
}

/**
 * The rules of every published view by `database.view`: from `expectations.yaml`, and the keys of
 * reports from their checks.
 * @throws {MillraceError} CONFIG_INVALID when the file does not have this shape, or names a view
 *   that the model does not publish
 */
export function loadExpectations(model: Model, checks: readonly ReportCheck[]): Map<string, Expectation> {
  const file = join(model.directory, 'expectations.yaml')
  const keys = new Map(checks.map(({ name, key }) => [name, key]))
  try {
    const text = existsSync(file) ? readFileSync(file, 'utf8') : '{}'
    const stated = expectationsSchema.parse(parse(text, { merge: true }))
    const published = model.publish.map(({ database, name }) => `${database}.${name}`)
    const views = Object.entries(stated).flatMap(([database, of]) => Object.keys(of).map(name => `${database}.${name}`))
    const unknown = views.find(view => !published.includes(view))
    if (unknown !== undefined) throw new Error(`the model publishes no ${unknown}`)
    return new Map(
      model.publish.map(({ database, name }) => {
        const key = keys.get(name)
        return [
          `${database}.${name}`,
          { ...(key === undefined ? {} : { key: [...key] }), ...(ownOf(ownOf(stated, database), name) ?? nothing) },
        ]
      }),
    )
  } catch (error) {
    throw new MillraceError('CONFIG_INVALID', {
      what: `the expectations cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      where: file,
      next: 'name views as published, and columns that they have; see model/sales/expectations.yaml',
      cause: error,
    })
  }
}

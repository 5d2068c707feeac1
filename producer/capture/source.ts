// producer/capture/source: checks and reads the source database.

import type { Generation } from '../../contract/generation.ts'
import { tableName } from '../../contract/table.ts'
import type { SourceTable } from '../../postgres/catalog/catalog.ts'
import { findDeferrableKeys } from '../../postgres/catalog/keys.ts'
import { type Client, withClient } from '../../postgres/client/client.ts'
import type { Check } from '../../postgres/preflight/check.ts'
import { preflight, preflightResume } from '../../postgres/preflight/preflight.ts'
import { identify, type ServerIdentity } from '../../postgres/replication/history.ts'
import { serverVersion } from '../../postgres/replication/publication.ts'
import { loadHashKey } from '../../runtime/config/hash-key.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { ProducerContext } from '../context.ts'
import type { CapturedTable } from './captured-table.ts'
import { hashesAnything } from './column-classification.ts'
import { chooseTables, faultsOf } from './table-choice.ts'
import { captureTables, reportText } from './tables.ts'

export interface Source {
  readonly server: ServerIdentity
  readonly tables: readonly CapturedTable[]
  /** The same tables as in the catalog. */
  readonly sources: readonly SourceTable[]
}

/**
 * Runs the preflight checks for a generation with a slot of this name and reads its tables.
 * @throws {MillraceError} PREFLIGHT_FAILED, TABLE_NOT_CAPTURABLE, HASH_KEY, POSTGRES_*
 */
export async function inspectSource(context: ProducerContext, slot: string): Promise<Source> {
  const { config, url, log, progress, signal } = context
  const { publication } = config.source
  const found = await withClient(
    url,
    async client => {
      const choice = await chooseTables(client, config)
      const { tables: sources, leftOut, noTables } = choice
      judge(await preflight({ client, tables: sources, leftOut, slot, publication }), log)
      if (noTables.length > 0) log.info('views are not captured', { views: noTables.join(', ') })
      progress.notCaptured = Object.fromEntries(leftOut.map(table => [tableName(table), table.reason]))
      const deferrable = await findDeferrableKeys(
        client,
        sources.map(({ oid }) => oid),
      )
      const hashKey = hashesAnything(config) ? loadHashKey(config, { make: true }) : undefined
      const about = {
        config,
        serverVersion: await serverVersion(client),
        deferrable,
        hashKey,
        faults: faultsOf(choice),
      }
      const captured = captureTables(sources, about)
      reportText(sources, log)
      return { tables: captured, sources }
    },
    signal,
  )
  return { server: await identify(url, signal), ...found }
}

/**
 * Runs the checks that a live generation needs to continue. @throws {MillraceError}
 * PREFLIGHT_FAILED
 */
export async function checkToResume({ log }: ProducerContext, client: Client, { slot }: Generation): Promise<void> {
  const checks = await preflightResume(client, slot)
  refusePassing(checks)
  judge(checks, log)
}

/**
 * Throws for a failed check whose cause passes by itself: the address leads to a standby during a
 * failover, or a right is missing while a backup runs. A slot that a standby does not have is then
 * not lost.
 * @throws {MillraceError} POSTGRES_READ_ONLY, POSTGRES_BUSY
 */
export function refusePassing(checks: readonly Check[]): void {
  for (const { name, state, passing, found, fix } of checks) {
    if (state !== 'fail' || passing === undefined) continue
    throw new MillraceError(passing, {
      what: `${name}: ${found}`,
      where: 'the source database',
      next: `it is tried again by itself; if it lasts, ${fix}`,
    })
  }
}

function judge(checks: readonly Check[], log: Log): void {
  for (const { name, state, found, fix } of checks) {
    if (state === 'warn' || state === 'unknown') log.warn(`check of ${name}: ${found}`, { state, fix })
  }
  const failed = checks.filter(({ state }) => state === 'fail')
  if (failed.length === 0) return
  const mendable = failed.some(({ sql = [] }) => sql.length > 0) ? '; millrace check --fix runs the SQL remedies' : ''
  throw new MillraceError('PREFLIGHT_FAILED', {
    what: failed.map(({ name, found, why }) => `${name}: ${found} (${why})`).join('\n  '),
    where: 'the source database',
    next: `${failed.map(({ fix }) => fix).join('; ')}${mendable}`,
  })
}

/** @param what plain sentence: the earlier and the present state */
export function generationChanged(what: string, where: string): MillraceError {
  return new MillraceError('GENERATION_CHANGED', {
    what,
    where,
    next: 'change it back, or start a new generation beside this one: millrace producer --new-generation',
  })
}

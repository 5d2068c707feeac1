// producer/source: the database as it is now: whether it can be captured, and what of it is.
// May know: contract/generation, postgres, runtime, producer/{captured,personal,tables}.

import { publicationName, slotName } from '../contract/generation.ts'
import type { Check } from '../postgres/check.ts'
import { connect, query, withClient } from '../postgres/connect.ts'
import { findDeferrableKeys } from '../postgres/deferrable-keys.ts'
import { preflight } from '../postgres/preflight.ts'
import { serverVersion } from '../postgres/publication.ts'
import { MillraceError } from '../runtime/errors.ts'
import { loadHashKey } from '../runtime/hash-key.ts'
import type { Log } from '../runtime/log.ts'
import type { CapturedTable } from './captured.ts'
import { hashesAnything } from './personal.ts'
import { captureTables, chooseTables, reportText } from './tables.ts'
import type { Workspace } from './workspace.ts'

export interface Source {
  /** As in `Generation.source`. */
  readonly identity: string
  readonly tables: readonly CapturedTable[]
}

/**
 * Runs the preflight checks for a generation and reads its tables.
 * @throws {MillraceError} PREFLIGHT_FAILED, TABLE_NOT_CAPTURABLE, HASH_KEY, POSTGRES_*
 */
export async function inspectSource({ config, url, log }: Workspace, generation: number): Promise<Source> {
  const slot = slotName(config.name, generation)
  const publication = publicationName(config.name, generation)
  const tables = await withClient(url, async client => {
    const sources = await chooseTables(client, config)
    judge(await preflight({ client, tables: sources, slot, publication }), log)
    const deferrable = await findDeferrableKeys(
      client,
      sources.map(({ oid }) => oid),
    )
    const hashKey = hashesAnything(config) ? loadHashKey(config, { make: true }) : undefined
    const captured = captureTables(sources, { config, serverVersion: await serverVersion(client), deferrable, hashKey })
    reportText(sources, log)
    return captured
  })
  return { identity: await identify(url), tables }
}

function judge(checks: readonly Check[], log: Log): void {
  for (const { name, state, found, fix } of checks) {
    if (state === 'warn' || state === 'unknown') log.warn(`check of ${name}: ${found}`, { state, fix })
  }
  const failed = checks.filter(({ state }) => state === 'fail')
  if (failed.length === 0) return
  throw new MillraceError('PREFLIGHT_FAILED', {
    what: failed.map(({ name, found, why }) => `${name}: ${found} (${why})`).join('\n  '),
    where: 'the source database',
    next: `${failed.map(({ fix }) => fix).join('; ')}; millrace check --fix does what can be done by SQL`,
  })
}

/** @see https://www.postgresql.org/docs/current/protocol-replication.html (IDENTIFY_SYSTEM) */
async function identify(url: string): Promise<string> {
  const client = await connect(url, { mode: 'replication' })
  try {
    const [system] = await query<{ systemid: string; dbname: string }>(client, 'IDENTIFY_SYSTEM')
    return `${system!.systemid}/${system!.dbname}`
  } finally {
    await client.end().catch(() => {})
  }
}

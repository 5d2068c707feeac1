// postgres/preflight/server-checks: the checks of the server, the role and the replication
// connection.

import { MillraceError } from '../../runtime/errors.ts'
import { type Client, query } from '../client/client.ts'
import { quoteName } from '../client/quote.ts'
import { identify } from '../replication/history.ts'
import { serverVersion } from '../replication/publication.ts'
import { slotState, slotsOfServer } from '../replication/slot.ts'
import type { Check, CheckDefinition, Finding } from './check.ts'
import { readRole } from './rights.ts'

const oldestVersion = 140_000

export const serverChecks: readonly CheckDefinition[] = [
  {
    name: 'server version',
    why: 'heartbeats are messages in the replication stream, which older versions do not have',
    async run({ client }) {
      const found = await setting(client, 'server_version')
      if ((await serverVersion(client)) >= oldestVersion) return { state: 'pass', found }
      return { state: 'fail', found, fix: 'use PostgreSQL 14 or newer' }
    },
  },
  {
    name: 'primary server',
    why: 'a standby can neither create a publication nor send heartbeats',
    passing: 'POSTGRES_READ_ONLY',
    async run({ client }) {
      const [row] = await query<{ standby: boolean }>(client, 'SELECT pg_is_in_recovery() AS standby')
      if (!row!.standby) return { state: 'pass', found: 'it is the primary' }
      return { state: 'fail', found: 'it is a standby', fix: 'set source.url to the primary server' }
    },
  },
  {
    name: 'server encoding',
    why: 'text is sent byte for byte, and everything downstream reads it as UTF-8',
    async run({ client }) {
      const found = await setting(client, 'server_encoding')
      if (found === 'UTF8') return { state: 'pass', found }
      return { state: 'fail', found, fix: 'move the data to a database created with ENCODING UTF8' }
    },
  },
  {
    name: 'wal_level',
    why: 'row changes can be decoded only from a WAL that is written with wal_level = logical',
    async run({ client }) {
      const found = await setting(client, 'wal_level')
      if (found === 'logical') return { state: 'pass', found }
      const fix =
        'run ALTER SYSTEM SET wal_level = logical and restart Postgres (managed services have a parameter for it)'
      return { state: 'fail', found, fix }
    },
  },
  {
    name: 'replication slots left',
    why: 'each generation keeps its place in the WAL with a slot of its own, and needs two more until it is loaded',
    onlyToBegin: true,
    async run({ client, slot }) {
      const existing = await slotState(client, slot)
      const used = 'SELECT count(*)::int AS used FROM pg_replication_slots'
      return enough(client, used, 'max_replication_slots', existing === undefined ? 3 : 0)
    },
  },
  {
    name: 'WAL senders left',
    why: 'each replication connection needs one',
    passing: 'POSTGRES_BUSY',
    async run({ client, slot }) {
      const existing = await slotState(client, slot)
      const used = 'SELECT count(*)::int AS used FROM pg_stat_replication'
      return enough(client, used, 'max_wal_senders', existing?.active === true ? 0 : 1)
    },
  },
  {
    name: 'role may replicate',
    why: 'only such a role may read the WAL',
    async run({ client }) {
      const { name, replicates } = await readRole(client)
      if (replicates) return { state: 'pass', found: name }
      return {
        state: 'fail',
        found: name,
        fix: `have a superuser run ALTER ROLE ${quoteName(name)} REPLICATION`,
      }
    },
  },
  {
    name: 'slot',
    why: 'it keeps the WAL that is not yet sent, and lost changes cannot be recovered',
    async run({ client, slot }) {
      const state = await slotState(client, slot)
      if (!state) return slotElsewhere(client, slot)
      const found = `${slot} holds ${Math.ceil(state.heldBytes / 1e6)} MB of WAL`
      if (state.walStatus === 'lost') {
        const fix = 'begin a new generation with `millrace producer --new-generation`'
        return { state: 'fail', found: `${slot} was invalidated`, fix }
      }
      if (state.walStatus === 'unreserved') {
        const fix = 'raise max_slot_wal_keep_size at once, and let the producer catch up'
        return { state: 'warn', found: `${found} and is about to be invalidated`, fix }
      }
      return { state: 'pass', found }
    },
  },
]

/** A slot belongs to one database, but its name is unique on the whole server. */
async function slotElsewhere(client: Client, slot: string): Promise<Finding> {
  const taken = (await slotsOfServer(client, slot)).find(({ name }) => name === slot)
  if (taken === undefined) return { state: 'pass', found: `${slot} does not exist yet` }
  const whose = taken.database === null ? 'a physical slot' : `a slot of the database ${taken.database}`
  const fix = `give this pipeline another name; or, if nobody needs it any more, run SELECT pg_drop_replication_slot('${slot}')`
  return { state: 'fail', found: `${slot} is ${whose}`, fix }
}

async function setting(client: Client, name: string): Promise<string> {
  const [row] = await query<{ value: string }>(client, 'SELECT current_setting($1) AS value', [name])
  return row!.value
}

/** @param needed how many more are needed; 0 when the generation has its own already */
async function enough(client: Client, countUsed: string, limitName: string, needed: number): Promise<Finding> {
  const limit = Number(await setting(client, limitName))
  const [row] = await query<{ used: number }>(client, countUsed)
  const found = `${row!.used} of ${limit} in use`
  if (needed === 0 || row!.used + needed <= limit) return { state: 'pass', found }
  return { state: 'fail', found, fix: `drop unused ones, or raise ${limitName} and restart Postgres` }
}

/**
 * Opens a replication connection. pg_hba.conf, a pooler, or a lack of WAL senders may refuse it
 * although the role has all rights.
 */
export async function checkReplication(url: string, signal: AbortSignal): Promise<Check> {
  const about = {
    name: 'replication connection',
    why: 'changes arrive over such a connection, for which pg_hba.conf and poolers have rules of their own',
  }
  try {
    return { ...about, state: 'pass', found: `opened to system/database ${(await identify(url, signal)).source}` }
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof MillraceError)) throw error
    return { ...about, state: 'fail', found: error.message, fix: error.next }
  }
}

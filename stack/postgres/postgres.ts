// stack/postgres/postgres: an embedded Postgres 18 with logical replication, without passwords.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { appendFile, chmod, chown, mkdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { MillraceError } from '../../runtime/errors.ts'
import { replaceDirectory } from '../../runtime/files.ts'
import type { Command, Ports, Server, StackContext } from '../component.ts'
import { end, findProcesses, processesIn } from '../processes.ts'
import { installedPostgres, postgresBinaries, sharedRoot } from './binaries.ts'
import { type Account, accountCan, unprivilegedAccount } from './unprivileged-user.ts'

const run = promisify(execFile)

/** Written into postgresql.conf once, so ALTER SYSTEM can override them. */
const initialSettings = {
  wal_level: 'logical',
  max_wal_senders: '20',
  max_replication_slots: '20',
  max_connections: '100',
  shared_buffers: '256MB',
  max_wal_size: '2GB',
  timezone: 'UTC',
  log_timezone: 'UTC',
}

export const postgresServer: Server = {
  name: 'postgres',
  portNames: ['sql'],
  stopSignal: 'SIGINT', // fast shutdown: https://www.postgresql.org/docs/18/server-shutdown.html
  commandLineMarkers: data => ['-D', data],
  checkMachine: async () => installedPostgres(),
  prepare,
  command,
  async query(ports, data) {
    const client = new pg.Client({ connectionString: url(ports), connectionTimeoutMillis: 2_000, query_timeout: 5_000 })
    client.on('error', () => {}) // the connection is not used after the query
    try {
      await client.connect()
      const { rows } = await client.query<{ data_directory: string }>('show data_directory')
      if (rows[0]?.data_directory !== data) throw new Error(`another Postgres answers: ${rows[0]?.data_directory}`)
    } finally {
      await client.end().catch(() => {})
    }
  },
  endpoints: ports => ({ postgres: url(ports) }),
}

function url(ports: Ports): string {
  return `postgres://postgres@127.0.0.1:${ports.sql}/postgres`
}

async function prepare(context: StackContext, known: string | undefined): Promise<string> {
  const account = await unprivilegedAccount()
  const data = known ?? join(await reachableParent(context.directory, account), 'postgres')
  if (await exists(join(data, 'PG_VERSION'))) return data
  const binaries = await postgresBinaries(account, context.signal)
  const settings = Object.entries(initialSettings).map(([name, value]) => `${name} = '${value}'\n`)
  const options = ['-U', 'postgres', '--auth=trust', '--locale=C.UTF-8', '--encoding=UTF8']
  try {
    await replaceDirectory(data, async temporary => {
      if (account) await chown(temporary, account.uid, account.gid)
      await run(join(binaries, 'bin', 'initdb'), ['-D', temporary, ...options], { cwd: '/', ...account })
      // `initdb --set` exists only from Postgres 16 on.
      await appendFile(join(temporary, 'postgresql.conf'), settings.join(''))
    })
  } catch (cause) {
    throw new MillraceError('STACK_FAILED', {
      what: `Postgres could not create its data directory: ${reason(cause)}`,
      where: data,
      next: 'free disk space or correct the permissions in the message, then run `millrace up` again',
      cause,
    })
  }
  return data
}

/**
 * The stack's directory if the account of Postgres can reach it, else one under /var/lib. Its name
 * is derived from the stack's directory, so a run after an interrupted one finds it again.
 */
async function reachableParent(directory: string, account: Account | undefined): Promise<string> {
  if (account === undefined) return directory
  // millrace may change the permissions of this directory, not of those above it.
  await chmod(directory, (await stat(directory)).mode | 0o011)
  if (await accountCan(account, '-x', directory)) return directory
  const parent = join(sharedRoot, createHash('sha256').update(directory).digest('hex').slice(0, 16))
  await mkdir(parent, { recursive: true })
  for (const each of [sharedRoot, parent]) await chmod(each, 0o755)
  return parent
}

async function command(context: StackContext, data: string, ports: Ports): Promise<Command> {
  const account = await unprivilegedAccount()
  await clearLeftovers(data)
  const settings = { listen_addresses: '127.0.0.1', unix_socket_directories: '', port: String(ports.sql) }
  return {
    file: join(await postgresBinaries(account, context.signal), 'bin', 'postgres'),
    args: ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    ...account,
  }
}

/**
 * Deletes the pid file of a killed postmaster, once no process works in the data directory. The
 * file stays after kill -9, and children run on for a while. If another process of the account has
 * the id in the file, Postgres would refuse to start.
 */
async function clearLeftovers(data: string): Promise<void> {
  if ((await findProcesses(postgresServer.commandLineMarkers(data))).length > 0) return
  if (process.platform !== 'linux') return
  for (const child of await processesIn(data)) await end(child, 'SIGQUIT', 5_000)
  await rm(join(data, 'postmaster.pid'), { force: true })
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

function reason(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message: string }
  return (stderr || message).trim()
}

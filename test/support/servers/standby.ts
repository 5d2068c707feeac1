// test/support/servers/standby: another Postgres on a copy of a primary's files, its standby until
// it is promoted.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { query, withClient } from '../../../postgres/client/client.ts'
import { pickPorts } from '../../../stack/ports.ts'
import { postgresBinaries } from '../../../stack/postgres/binaries.ts'
import { unprivilegedAccount } from '../../../stack/postgres/unprivileged-user.ts'
import { until } from '../harness/suite.ts'

const run = promisify(execFile)

/** Copies the files of a stopped server, with their owner. */
export async function copyFiles(data: string, copy: string): Promise<void> {
  await run('cp', ['-a', data, copy])
}

export class Standby {
  readonly url: string
  readonly #data: string
  readonly #port: number
  #end: (() => Promise<unknown>) | undefined

  /** @param data a copy of the primary's files, which `stop` removes */
  static async start(data: string, primary: string): Promise<Standby> {
    const [port] = await pickPorts(1)
    await writeFile(join(data, 'standby.signal'), '')
    const standby = new Standby(data, port!)
    const { hostname, port: primaryPort } = new URL(primary)
    await standby.#run(`host=${hostname} port=${primaryPort} user=postgres`)
    return standby
  }

  private constructor(data: string, port: number) {
    this.#data = data
    this.#port = port
    this.url = `postgres://postgres@127.0.0.1:${port}/postgres`
  }

  /** Address of a database on the standby. */
  urlOf(database: string): string {
    const url = new URL(this.url)
    url.pathname = `/${database}`
    return url.href
  }

  /** Resolves when the standby has replayed this LSN of the primary. */
  async caughtUp(lsn: string): Promise<void> {
    const reached = 'SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS reached'
    await until(
      async () => {
        const [row] = await withClient(this.url, client => query<{ reached: boolean }>(client, reached, [lsn]))
        return row!.reached
      },
      { what: `the standby has everything before ${lsn}` },
    )
  }

  /** Makes it a primary on the next timeline. */
  async promote(): Promise<void> {
    await withClient(this.url, client => query(client, 'SELECT pg_promote()'))
  }

  async stop(): Promise<void> {
    await this.#end?.()
    await rm(this.#data, { recursive: true, force: true })
  }

  async #run(primary: string): Promise<void> {
    const account = await unprivilegedAccount()
    const binaries = await postgresBinaries(account, new AbortController().signal)
    const settings = {
      port: String(this.#port),
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      primary_conninfo: primary,
    }
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const server = spawn(join(binaries, 'bin', 'postgres'), ['-D', this.#data, ...args], {
      stdio: 'ignore',
      ...account,
    })
    const ended = once(server, 'exit')
    this.#end = () => {
      server.kill('SIGQUIT')
      return ended
    }
    await until(
      async () => {
        if (server.exitCode !== null) throw new Error(`the standby ended with ${server.exitCode}`)
        return withClient(this.url, client => query(client, 'SELECT 1')).then(
          () => true,
          () => false,
        )
      },
      { what: 'the standby answers' },
    )
  }
}

// stack/up: starts, finds, stops and kills the embedded Postgres, Kafka and ClickHouse.

import { existsSync } from 'node:fs'
import { mkdir, readdir, realpath, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { MillraceError } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import { waitUntil } from '../runtime/wait.ts'
import { clickhouseServer } from './clickhouse/clickhouse.ts'
import { type Component, components, type Endpoints, type Server } from './component.ts'
import { ensureRunning } from './ensure-running.ts'
import { kafkaServer } from './kafka/kafka.ts'
import { withLock } from './lock.ts'
import { sharedCache } from './packages.ts'
import { sharedRoot } from './postgres/binaries.ts'
import { postgresServer } from './postgres/postgres.ts'
import { end, findProcesses, isAlive, processesIn, send } from './processes.ts'
import { readState, statePath, writeState } from './state.ts'

const servers: Record<Component, Server> = {
  postgres: postgresServer,
  kafka: kafkaServer,
  clickhouse: clickhouseServer,
}

const oldestNode = 20
const lockTimeoutMs = 300_000
const stopTimeoutMs = 30_000

export interface UpOptions {
  readonly directory: string
  readonly log: Log
  /** The servers to start; default: all. */
  readonly components?: readonly Component[]
  readonly signal?: AbortSignal
  /** Directory of downloads; default: `sharedCache`. */
  readonly cache?: string
  /**
   * Chooses new ports where another process uses the earlier ones, instead of refusing to start.
   */
  readonly newPorts?: boolean
}

/**
 * Starts the servers that do not run, and returns when every server has answered a query. Servers
 * outlive this process. A server that was killed at any moment recovers on the same ports.
 * @throws MillraceError STACK_* with the remedy; servers that did start keep running.
 */
export async function up(options: UpOptions): Promise<Endpoints> {
  requireNode()
  const directory = await realDirectory(options.directory)
  const signal = options.signal ?? new AbortController().signal
  const cache = options.cache ?? sharedCache()
  const context = { directory, log: options.log, signal, cache }
  return locked(directory, options.log, signal, async () => {
    if (options.newPorts) forgetPorts(directory)
    const names = options.components ?? components
    // Reports missing programs before anything is started.
    for (const name of names) if (readState(directory)[name] === undefined) await servers[name].checkMachine()
    const starting = names.map(name => ensureRunning(servers[name], context))
    // Waits for all servers before the first error is thrown, so no start is left unfinished.
    const outcomes = await Promise.allSettled(starting)
    const failed = outcomes.find(outcome => outcome.status === 'rejected')
    if (failed) throw failed.reason
    return Object.assign({}, ...outcomes.map(outcome => (outcome.status === 'fulfilled' ? outcome.value : {})))
  })
}

/** Stops the servers, ClickHouse first, and kills those that do not stop in time. Data stays. */
export async function down(directory: string, log: Log): Promise<void> {
  if (!existsSync(directory)) return
  const real = await realDirectory(directory)
  await locked(real, log, undefined, () => stopAll(real, log))
}

/** Stops the stack and deletes its data and ports. Logs and downloads stay. */
export async function reset(directory: string, log: Log): Promise<void> {
  if (!existsSync(directory)) return
  const real = await realDirectory(directory)
  await locked(real, log, undefined, async () => {
    await stopAll(real, log)
    for (const name of components) await removeFiles(real, name)
    await rm(statePath(real), { force: true })
  })
}

/** Simulates a crash with SIGKILL. Returns the process id when it and its children are gone. */
export async function kill(directory: string, component: Component): Promise<number> {
  const real = await realDirectory(directory)
  const data = dataOf(real, component)
  const [running] = await findProcesses(servers[component].commandLineMarkers(data))
  if (running === undefined) {
    throw new MillraceError('STACK_FAILED', {
      what: `${component} is not running`,
      where: real,
      next: 'run `millrace up`',
    })
  }
  const family = [running, ...(component === 'postgres' ? await processesIn(data) : [])]
  await send(running, 'SIGKILL')
  const allGone = async () => !(await Promise.all(family.map(isAlive))).includes(true)
  await waitUntil(allGone, { timeoutMs: stopTimeoutMs, everyMs: 10 })
  return running.pid
}

async function stopAll(directory: string, log: Log): Promise<void> {
  for (const name of [...components].reverse()) {
    const server = servers[name]
    for (const running of await findProcesses(server.commandLineMarkers(dataOf(directory, name)))) {
      const clean = await end(running, server.stopSignal, stopTimeoutMs)
      if (clean) log.info(`${name} stopped`, { pid: running.pid })
      else log.warn(`${name} did not stop in ${stopTimeoutMs / 1000} s and was killed`, { pid: running.pid })
    }
  }
}

/** Removes a server's data, its generated configuration, and leftovers of killed processes. */
async function removeFiles(directory: string, name: Component): Promise<void> {
  const elsewhere = dirname(dataOf(directory, name))
  if (dirname(elsewhere) === sharedRoot) await rm(elsewhere, { recursive: true, force: true })
  for (const entry of await readdir(directory)) {
    const isOurs = entry === name || entry.startsWith(`${name}.`)
    if (isOurs) await rm(join(directory, entry), { recursive: true, force: true })
  }
}

function dataOf(directory: string, name: Component): string {
  return readState(directory)[name]?.data ?? join(directory, name)
}

function locked<T>(directory: string, log: Log, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  const onWait = (pid: number) => log.info('waiting for another command that starts or stops this stack', { pid })
  const options = { timeoutMs: lockTimeoutMs, signal: signal ?? new AbortController().signal, onWait }
  return withLock(join(directory, 'lock'), options, work)
}

/** Marks ports as replaceable. Servers that run keep theirs. */
function forgetPorts(directory: string): void {
  for (const [name, entry] of Object.entries(readState(directory))) {
    writeState(directory, name as Component, { ...entry, advertised: false })
  }
}

/** Absolute and without symbolic links, like the working directory of a process in /proc. */
async function realDirectory(directory: string): Promise<string> {
  await mkdir(directory, { recursive: true })
  return realpath(directory)
}

function requireNode(): void {
  if (Number.parseInt(process.versions.node, 10) >= oldestNode) return
  throw new MillraceError('STACK_PREREQUISITE', {
    what: `Node ${process.versions.node} is too old`,
    where: process.execPath,
    next: `install Node ${oldestNode} or newer`,
  })
}

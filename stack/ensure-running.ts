// stack/ensure-running: brings one server from any state to one that answers queries.

import { MillraceError } from '../runtime/errors.ts'
import { waitUntil } from '../runtime/wait.ts'
import type { Endpoints, Ports, ProcessId, Server, StackContext } from './component.ts'
import { lastLines, logPath, startDaemon } from './daemon.ts'
import { isFree, pickPorts } from './ports.ts'
import { end, findProcesses, isAlive } from './processes.ts'
import { type ComponentState, readState, writeState } from './state.ts'

/** Long enough for the recovery of Postgres or Kafka after a crash under load. */
const startTimeoutMs = 120_000
const answerTimeoutMs = 30_000
const orphanGraceMs = 5_000
const attempts = 4

/**
 * Errors that pass: a port taken in the meantime; children of a killed postmaster still running.
 */
const passesByItself = /address already in use|pre-existing shared memory block/i

/**
 * Returns once the server answers a query: finds a running one, waits for a starting one, replaces
 * a hanging one, or starts it. The caller holds the stack's lock.
 */
export async function ensureRunning(server: Server, context: StackContext): Promise<Endpoints> {
  const { directory, log, signal } = context
  const known = readState(directory)[server.name]
  if (known && (await findRunning(server, context, known))) return server.endpoints(known.ports)
  const data = await server.prepare(context, known?.data)
  // The ports of a server without a state file are unknown.
  for (const orphan of await findProcesses(server.commandLineMarkers(data)))
    await end(orphan, server.stopSignal, orphanGraceMs)
  for (let attempt = 1; ; attempt++) {
    const ports = await usablePorts(server, known)
    writeState(directory, server.name, { ports, data, advertised: known?.advertised ?? false })
    const began = performance.now()
    const { id, logOffset } = await startDaemon(directory, server.name, await server.command(context, data, ports))
    if (id && (await answers(server, id, { ports, data, timeoutMs: startTimeoutMs, signal }))) {
      writeState(directory, server.name, { ports, data, advertised: true, ...id })
      log.info(`${server.name} is ready`, { pid: id.pid, ms: Math.round(performance.now() - began) })
      return server.endpoints(ports)
    }
    if (id) await end(id, server.stopSignal, orphanGraceMs)
    const lines = lastLines(directory, server.name, logOffset)
    if (attempt === attempts || !passesByItself.test(lines)) throw startError(server, directory, lines)
  }
}

/**
 * True if a server of an earlier run answers. Its process can be newer than the one in the state.
 */
async function findRunning(server: Server, context: StackContext, known: ComponentState): Promise<boolean> {
  const { directory, log, signal } = context
  const found = await findProcesses(server.commandLineMarkers(known.data))
  for (const running of found) {
    if (await answers(server, running, { ...known, timeoutMs: answerTimeoutMs, signal })) {
      writeState(directory, server.name, { ...known, advertised: true, ...running })
      log.debug(`${server.name} is running`, { pid: running.pid })
      return true
    }
    log.warn(`${server.name} runs but does not answer; starting it again`, { pid: running.pid })
    await end(running, server.stopSignal, orphanGraceMs)
  }
  return false
}

/** Waits until the process answers a query; false when it dies or does not answer in time. */
async function answers(server: Server, running: ProcessId, { ports, data, timeoutMs, signal }: Wait): Promise<boolean> {
  const outcome = await waitUntil(
    async () => {
      if (!(await isAlive(running))) return 'died'
      return server.query(ports, data).then(
        () => 'answered',
        () => undefined,
      )
    },
    { timeoutMs, signal },
  )
  return outcome === 'answered'
}

interface Wait {
  readonly ports: Ports
  readonly data: string
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/** Ports never change once a client knows them, so that clients can reconnect. */
async function usablePorts(server: Server, known: ComponentState | undefined): Promise<Ports> {
  const taken: number[] = []
  for (const port of Object.values(known?.ports ?? {})) if (!(await isFree(port))) taken.push(port)
  if (known && taken.length === 0) return known.ports
  if (known?.advertised) {
    throw new MillraceError('STACK_PORT_TAKEN', {
      what: `port ${taken.join(' and ')}, which this stack's ${server.name} used before, is now used by another process`,
      where: '127.0.0.1',
      next: `end that process (\`ss -ltnp 'sport = :${taken[0]}'\` names it), or run \`millrace up --new-ports\` and restart the clients of the old address`,
    })
  }
  const picked = await pickPorts(server.portNames.length)
  return Object.fromEntries(server.portNames.map((name, index) => [name, picked[index]!]))
}

function startError(server: Server, directory: string, lines: string): MillraceError {
  return new MillraceError('STACK_FAILED', {
    what: `${server.name} did not start${lines === '' ? '' : `; the end of its log:\n${lines}`}`,
    where: logPath(directory, server.name),
    next: 'repair the cause in the log and run `millrace up` again, or run `millrace reset` to begin with empty data',
  })
}

// stack/processes: recognises and ends exactly the intended processes of the operating system.

import { execFile } from 'node:child_process'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { promisify } from 'node:util'
import { waitUntil } from '../runtime/wait.ts'
import type { ProcessId } from './component.ts'

const run = promisify(execFile)
const onLinux = process.platform === 'linux'

/** The process with this id; undefined if there is none or it is a zombie. */
export async function identify(pid: number): Promise<ProcessId | undefined> {
  const startedAt = onLinux ? await startTicks(pid) : await psField(pid, 'lstart=')
  return startedAt === undefined ? undefined : { pid, startedAt }
}

export async function isAlive(known: ProcessId): Promise<boolean> {
  return (await identify(known.pid))?.startedAt === known.startedAt
}

/** The processes whose command line contains each of `markers` as an argument. */
export async function findProcesses(markers: readonly string[]): Promise<ProcessId[]> {
  const commandLines = onLinux ? await procCommandLines() : await psCommandLines()
  const found: ProcessId[] = []
  for (const [pid, carries] of commandLines) {
    if (pid === process.pid || !markers.every(carries)) continue
    const id = await identify(pid)
    if (id) found.push(id)
  }
  return found
}

/** The processes with this working directory. Linux only; none elsewhere. */
export async function processesIn(directory: string): Promise<ProcessId[]> {
  if (!onLinux) return []
  const found = await Promise.all(
    (await procIds()).map(async pid => {
      const workingDirectory = await readlink(`/proc/${pid}/cwd`).catch(() => undefined)
      return workingDirectory === directory ? identify(pid) : undefined
    }),
  )
  return found.filter(id => id !== undefined)
}

/** Sends a signal to exactly this process. Returns false when it no longer exists. */
export async function send(target: ProcessId, signal: NodeJS.Signals): Promise<boolean> {
  if (!(await isAlive(target))) return false
  try {
    return process.kill(target.pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}

/** Sends `signal`, and SIGKILL after `graceMs`. Returns false if SIGKILL was necessary. */
export async function end(target: ProcessId, signal: NodeJS.Signals, graceMs: number): Promise<boolean> {
  await send(target, signal)
  const gone = async () => !(await isAlive(target))
  if (await waitUntil(gone, { timeoutMs: graceMs, everyMs: 20 })) return true
  await send(target, 'SIGKILL')
  await waitUntil(gone, { timeoutMs: 10_000, everyMs: 20 })
  return false
}

/**
 * Field 22 of /proc/PID/stat, in clock ticks since boot:
 * https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html The first thread can be a zombie while
 * other threads still hold the sockets. Such a process counts as running.
 */
async function startTicks(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined)
  if (stat === undefined) return undefined
  // The second field, the program's name in parentheses, can contain spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state, threads, startedAt] = [fields[0], Number(fields[17]), fields[19]]
  const isGone = state === 'X' || (state === 'Z' && threads <= 1)
  return isGone ? undefined : startedAt
}

async function psField(pid: number, field: string): Promise<string | undefined> {
  const answer = await run('ps', ['-o', field, '-p', String(pid)]).catch(() => undefined)
  return answer?.stdout.trim() || undefined
}

type CommandLine = readonly [pid: number, carries: (argument: string) => boolean]

async function procIds(): Promise<number[]> {
  return (await readdir('/proc')).filter(name => /^\d+$/.test(name)).map(Number)
}

async function procCommandLines(): Promise<CommandLine[]> {
  return Promise.all(
    (await procIds()).map(async pid => {
      const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
      const args = new Set(text.split('\0'))
      return [pid, (argument: string) => args.has(argument)] as const
    }),
  )
}

async function psCommandLines(): Promise<CommandLine[]> {
  const { stdout } = await run('ps', ['-A', '-ww', '-o', 'pid=,args='], { maxBuffer: 1 << 26 })
  return stdout.split('\n').flatMap(line => {
    const [, pid, args] = /^\s*(\d+)\s+(.*)$/.exec(line) ?? []
    if (pid === undefined || args === undefined) return []
    return [[Number(pid), (argument: string) => `${args} `.includes(` ${argument} `)] as const]
  })
}

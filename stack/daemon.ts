// stack/daemon: a process that outlives the command which starts it, and its log file.
// May know: stack/component, stack/processes.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Command, Component, ProcessId } from './component.ts'
import { identify } from './processes.ts'

const rotateAboveBytes = 16 << 20

export function logPath(directory: string, name: Component): string {
  return join(directory, 'log', `${name}.log`)
}

/** Starts `command` in a session of its own, its output appended to the component's log. Undefined when it died at once. */
export async function startDaemon(
  directory: string,
  name: Component,
  command: Command,
): Promise<ProcessId | undefined> {
  const output = openLog(logPath(directory, name))
  try {
    const { file, args, ...account } = command
    const child = spawn(file, args, { detached: true, stdio: ['ignore', output, output], cwd: '/', ...account })
    await once(child, 'spawn')
    child.unref()
    return child.pid === undefined ? undefined : await identify(child.pid)
  } finally {
    closeSync(output)
  }
}

/** The end of a component's log from byte `from` on, for an error message. */
export function lastLines(directory: string, name: Component, from = 0, count = 15): string {
  try {
    const text = readFileSync(logPath(directory, name)).subarray(from).toString('utf8')
    return text.trimEnd().split('\n').slice(-count).join('\n')
  } catch {
    return ''
  }
}

/** Bytes in the component's log, 0 when there is none. */
export function logSize(directory: string, name: Component): number {
  return statSync(logPath(directory, name), { throwIfNoEntry: false })?.size ?? 0
}

function openLog(path: string): number {
  mkdirSync(join(path, '..'), { recursive: true })
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > rotateAboveBytes) renameSync(path, `${path}.1`)
  return openSync(path, 'a')
}

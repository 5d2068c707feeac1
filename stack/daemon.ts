// stack/daemon: starts a process that outlives this command, and reads its log file.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Command, Component, ProcessId } from './component.ts'
import { identify } from './processes.ts'

const rotateAboveBytes = 16 << 20

export function logPath(directory: string, name: Component): string {
  return join(directory, 'log', `${name}.log`)
}

export interface Daemon {
  /** Undefined when it ended immediately. */
  readonly id: ProcessId | undefined
  /** Offset of its first line in the component's log, in bytes. */
  readonly logOffset: number
}

/** Starts `command` in its own session and appends its output to the component's log. */
export async function startDaemon(directory: string, name: Component, command: Command): Promise<Daemon> {
  const output = openLog(logPath(directory, name))
  try {
    const logOffset = fstatSync(output).size
    const { file, args, ...account } = command
    const child = spawn(file, args, { detached: true, stdio: ['ignore', output, output], cwd: '/', ...account })
    await once(child, 'spawn')
    child.unref()
    return { id: child.pid === undefined ? undefined : await identify(child.pid), logOffset }
  } finally {
    closeSync(output)
  }
}

/**
 * A line of a Java stack trace. The reason is above the trace, which is longer than the excerpt.
 */
const stackFrame = /^\s+(at |\.\.\. \d+ more)/

/** The end of a component's log from byte `offset` on, for an error message. */
export function lastLines(directory: string, name: Component, offset: number, count = 15): string {
  const text = readFileSync(logPath(directory, name)).subarray(offset).toString('utf8')
  const lines = text
    .trimEnd()
    .split('\n')
    .filter(line => !stackFrame.test(line))
  return lines.slice(-count).join('\n')
}

function openLog(path: string): number {
  mkdirSync(join(path, '..'), { recursive: true })
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > rotateAboveBytes) renameSync(path, `${path}.1`)
  return openSync(path, 'a')
}

// test/support/harness/leftovers: processes that a test file started and did not end.
// Reads /proc, so it finds nothing on systems other than Linux.

import { readdirSync, readFileSync } from 'node:fs'

export interface Leftover {
  readonly pid: number
  readonly command: string
}

/** Living processes that carry the mark in their environment or arguments, this one excepted. */
export function leftovers(mark: string): Leftover[] {
  return processIds()
    .filter(pid => pid !== process.pid && `${read(pid, 'environ')}\n${read(pid, 'cmdline')}`.includes(mark))
    .filter(pid => !/^State:\s+[ZX]/m.test(read(pid, 'status')))
    .map(pid => ({ pid, command: read(pid, 'cmdline').replaceAll('\0', ' ').trim().slice(0, 200) }))
}

function processIds(): number[] {
  try {
    return readdirSync('/proc').map(Number).filter(Number.isInteger)
  } catch {
    return []
  }
}

function read(pid: number, file: 'environ' | 'cmdline' | 'status'): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return '' // ended meanwhile, or another user's
  }
}

/** Ends a process or, by its negative id, a group; one that has gone already is no error. */
export function end(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

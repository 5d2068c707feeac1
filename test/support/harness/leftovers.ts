// test/support/harness/leftovers: finds and ends processes that a test file started and did not
// end.
// It reads /proc, so it finds nothing on systems other than Linux.

import { readdirSync, readFileSync } from 'node:fs'

export interface Leftover {
  readonly pid: number
  readonly command: string
}

/** Living processes with the mark in their environment or arguments, except this one. */
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

/**
 * Ends a process or, by its negative id, a process group. A process that is gone already is no
 * error.
 */
export function end(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

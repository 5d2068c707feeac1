// test/support/harness/temporary: where a run of tests keeps its files.

import { chmodSync, mkdtempSync, readFileSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'

const inMemory = '/dev/shm'
/** Room that a run never fills, in the file system and in the machine's memory. */
const neededBytes = 10 * 1024 ** 3

/**
 * Directory below which a run keeps its files: in memory on a Linux machine that has 10 GiB to
 * spare. Servers make and delete thousands of small files in a run, and a file system on a disk
 * takes more CPU time for them than the servers do. `TMPDIR` names another.
 */
export function temporaryRoot(): string {
  return process.env.TMPDIR === undefined && hasRoomInMemory() ? inMemory : tmpdir()
}

/** A new directory, through which the account that runs Postgres can pass. */
export function temporaryDirectory(prefix: string): string {
  const directory = mkdtempSync(prefix)
  chmodSync(directory, 0o711)
  return directory
}

function hasRoomInMemory(): boolean {
  try {
    const [, type, options] = mountOf(inMemory)
    const { bavail, bsize } = statfsSync(inMemory)
    // Some tests write small programs and run them.
    const mayRun = type === 'tmpfs' && !options!.split(',').includes('noexec')
    return mayRun && bavail * bsize >= neededBytes && availableBytes() >= neededBytes
  } catch {
    return false
  }
}

/**
 * Mount point, type and options. @throws {Error} where nothing is mounted, or the system is not
 * Linux
 */
function mountOf(place: string): string[] {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n')
  const fields = mounts.map(line => line.split(' ').slice(1, 4)).find(([point]) => point === place)
  if (fields === undefined) throw new Error(`nothing is mounted at ${place}`)
  return fields
}

/**
 * What may be taken without swapping. @see
 * https://man7.org/linux/man-pages/man5/proc_meminfo.5.html
 */
function availableBytes(): number {
  const [, kib] = /^MemAvailable: +(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))!
  return Number(kib) * 1024
}

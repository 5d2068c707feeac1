// test/support/harness/temporary: the directory for the files of a test run.

import { chmodSync, mkdtempSync, readFileSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'

const inMemory = '/dev/shm'
/** Bytes that a run never fills, neither in the file system nor in memory. */
const neededBytes = 10 * 1024 ** 3

/**
 * Directory for the files of a run: in memory on a Linux machine with 10 GiB to spare. Servers
 * create and delete thousands of small files in a run, and a file system on a disk spends more CPU
 * time on them than the servers do. `TMPDIR` overrides it.
 */
export function temporaryRoot(): string {
  return process.env.TMPDIR === undefined && hasRoomInMemory() ? inMemory : tmpdir()
}

/** A new directory that the account of Postgres can traverse. */
export function temporaryDirectory(prefix: string): string {
  const directory = mkdtempSync(prefix)
  chmodSync(directory, 0o711)
  return directory
}

function hasRoomInMemory(): boolean {
  try {
    const [, type, options] = mountOf(inMemory)
    const { bavail, bsize } = statfsSync(inMemory)
    // Some tests write small programs and run them, so the mount must allow execution.
    const mayRun = type === 'tmpfs' && !options!.split(',').includes('noexec')
    return mayRun && bavail * bsize >= neededBytes && availableBytes() >= neededBytes
  } catch {
    return false
  }
}

/**
 * Mount point, type and options.
 * @throws {Error} when nothing is mounted, or the system is not Linux
 */
function mountOf(place: string): string[] {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n')
  const fields = mounts.map(line => line.split(' ').slice(1, 4)).find(([point]) => point === place)
  if (fields === undefined) throw new Error(`nothing is mounted at ${place}`)
  return fields
}

/**
 * Bytes of memory available without swapping.
 * @see https://man7.org/linux/man-pages/man5/proc_meminfo.5.html
 */
function availableBytes(): number {
  const [, kib] = /^MemAvailable: +(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))!
  return Number(kib) * 1024
}

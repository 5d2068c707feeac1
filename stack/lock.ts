// stack/lock: lets one command at a time change a directory.

import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { MillraceError } from '../runtime/errors.ts'
import { sleep, withJitter } from '../runtime/wait.ts'
import { identify, isAlive } from './processes.ts'

const enterEveryMs = 100

/**
 * Runs `work` while no other process runs one under the same lock directory.
 *
 * Every process creates a file with its name, and then lists the directory. If another file exists,
 * it deletes its own file and tries again. Two processes can both give way, but never both
 * continue. Any process can delete the file of a dead process at any time, because the name
 * (process id and start time) is never used again.
 *
 * @throws MillraceError STACK_BUSY when other processes held the lock for `timeoutMs`.
 */
export async function withLock<T>(
  lock: string,
  options: { timeoutMs: number; signal: AbortSignal; onWait?: (pid: number) => void },
  work: () => Promise<T>,
): Promise<T> {
  const self = await identify(process.pid)
  const entry = `${process.pid}-${self?.startedAt.replaceAll(/\W/g, '_')}-${randomBytes(4).toString('hex')}`
  const deadline = performance.now() + options.timeoutMs
  await mkdir(lock, { recursive: true })
  for (let attempt = 0; ; attempt++) {
    await writeFile(join(lock, entry), '', { flag: 'wx' })
    const holder = await otherThan(lock, entry).catch(async error => {
      await rm(join(lock, entry), { force: true })
      throw error
    })
    if (holder === undefined) break
    await rm(join(lock, entry), { force: true })
    if (attempt === 0) options.onWait?.(holder)
    if (performance.now() > deadline) throw busy(lock, holder)
    await sleep(withJitter(enterEveryMs), options.signal)
  }
  try {
    return await work()
  } finally {
    await rm(join(lock, entry), { force: true })
  }
}

async function otherThan(lock: string, own: string): Promise<number | undefined> {
  for (const name of await readdir(lock)) {
    if (name === own) continue
    const [pid = '', startedAt = ''] = name.split('-')
    const living = await identify(Number(pid))
    if (living?.startedAt.replaceAll(/\W/g, '_') === startedAt && (await isAlive(living))) return living.pid
    await rm(join(lock, name), { force: true })
  }
  return undefined
}

function busy(lock: string, pid: number): MillraceError {
  return new MillraceError('STACK_BUSY', {
    what: `another millrace command (process ${pid}) is starting or stopping this stack`,
    where: lock,
    next: 'wait until it has finished, or end it and run this command again',
  })
}

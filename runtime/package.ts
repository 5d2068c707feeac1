// runtime/package: where this package lies and which version it is, in a checkout and when installed.

import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * A file of the package that is not compiled, such as `model/sales/millrace.yaml`: the same in a checkout and under dist/.
 * Links are followed, so that it has one name for everybody who runs the same installation.
 */
export function packagePath(path: string): string {
  let directory = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(directory, 'package.json'))) directory = dirname(directory)
  const found = join(directory, path)
  return existsSync(found) ? realpathSync(found) : found
}

/** The version in package.json. */
export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(packagePath('package.json'), 'utf8')) as { version: string }
  return version
}

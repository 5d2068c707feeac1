// runtime/package: where this package lies and which version it is, in a checkout and when installed.
// May know: node only.

import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * A file of the package that is not compiled, such as `model/sales/millrace.yaml`.
 * Compiled code lies one folder deeper, so that a path relative to the importing file would not do.
 */
export function packagePath(path: string): string {
  let directory = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(directory, 'package.json'))) directory = dirname(directory)
  return join(directory, path)
}

/** The version in package.json. */
export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(packagePath('package.json'), 'utf8')) as { version: string }
  return version
}

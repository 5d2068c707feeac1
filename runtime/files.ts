// runtime/files: paths within this package, and files and directories that are replaced in one
// step.

import { randomUUID } from 'node:crypto'
import {
  closeSync,
  createWriteStream,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  writeSync,
} from 'node:fs'
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'

/**
 * A file of the package that is not compiled, such as `model/sales/millrace.yaml`: the same in a
 * checkout and under dist/. Symbolic links are resolved, so all processes of an installation get
 * the same path.
 */
export function packagePath(path: string): string {
  let directory = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(directory, 'package.json'))) directory = dirname(directory)
  const found = join(directory, path)
  return existsSync(found) ? realpathSync(found) : found
}

export interface PackageManifest {
  readonly version: string
  /** Optional packages by name, with the versions that fit. */
  readonly peerDependencies: Readonly<Record<string, string>>
}

/** The package.json of millrace. */
export function packageManifest(): PackageManifest {
  return JSON.parse(readFileSync(packagePath('package.json'), 'utf8')) as PackageManifest
}

/**
 * Writes a file completely or not at all, also when the process or the machine fails meanwhile.
 * Processes that may write the same file at the same time each need a `temporary` path of their
 * own.
 */
export function replaceFile(path: string, text: string, temporary = `${path}.new`): void {
  const file = openSync(temporary, 'w')
  try {
    writeSync(file, text)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(temporary, path)
}

/**
 * As `replaceFile`, from a stream.
 * @throws what the stream or the file system throws, after the unfinished file is removed
 */
export async function replaceFileFrom(path: string, body: Readable, signal?: AbortSignal): Promise<void> {
  const temporary = `${path}.${randomUUID()}.part`
  try {
    await pipeline(body, createWriteStream(temporary, { flags: 'wx', flush: true }), { ...(signal && { signal }) })
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/**
 * Lets `fill` write into a new, empty directory beside `target`, then moves that directory to
 * `target`, replacing an older one. Removes what killed processes left, so the caller must hold a
 * lock.
 */
export async function replaceDirectory(target: string, fill: (temporary: string) => Promise<void>): Promise<void> {
  const parent = dirname(target)
  const prefix = `${basename(target)}.new-`
  await mkdir(parent, { recursive: true })
  for (const name of await readdir(parent)) {
    // A process whose parent was killed may still write here. It will fail, and the next call
    // removes the rest.
    if (name.startsWith(prefix)) await rm(join(parent, name), { recursive: true, force: true }).catch(() => {})
  }
  const temporary = await mkdtemp(join(parent, prefix))
  try {
    await fill(temporary)
    await rm(target, { recursive: true, force: true })
    await rename(temporary, target)
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

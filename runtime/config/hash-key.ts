// runtime/config/hash-key: the secret key of hashed columns.

import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MillraceError } from '../errors.ts'
import type { Config } from './config.ts'

export interface HashKey {
  /** Prefix of every value that was hashed with this key. */
  readonly id: string
  /** Identifier and fingerprint. A generation records it, to detect another key. */
  readonly name: string
  /** A KeyObject, which cannot be logged by mistake. */
  readonly secret: KeyObject
}

const generatedBytes = 32
const shortestFile = 32
const fingerprintDigits = 16

/**
 * The configured key, else the one in the directory.
 * @param make whether to create a key when there is none; only a writer of hashes may do so
 * @throws {MillraceError} HASH_KEY when there is none, or its file cannot be used
 */
export function loadHashKey({ directory, hash }: Config, { make }: { make: boolean }): HashKey {
  if (hash.key !== undefined) return createHashKey(hash.keyId, hash.key)
  const path = hashKeyPath(directory, hash.keyId)
  if (make) makeFile(path)
  const text = readFile(path)
  if (text.length >= shortestFile) return createHashKey(hash.keyId, text)
  throw keyError('the key of hashed columns is too short to be one', path)
}

/** @param text its UTF-8 bytes are the key */
export function createHashKey(id: string, text: string): HashKey {
  const secret = createSecretKey(Buffer.from(text))
  const fingerprint = createHmac('sha256', secret).update('millrace fingerprint').digest('hex')
  return { id, secret, name: `${id}:${fingerprint.slice(0, fingerprintDigits)}` }
}

export function hashKeyPath(directory: string, id: string): string {
  return join(directory, `hash-${id}.key`)
}

/**
 * Creates the file in one step and never replaces a key: values hashed with a lost key match no
 * later hash.
 */
function makeFile(path: string): void {
  const temporary = `${path}.${process.pid}`
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(temporary, `${randomBytes(generatedBytes).toString('hex')}\n`, { mode: 0o600, flush: true })
  try {
    linkSync(temporary, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(temporary)
  }
}

function readFile(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (cause) {
    throw keyError(`the key of hashed columns cannot be read: ${(cause as Error).message}`, path)
  }
}

function keyError(what: string, where: string): MillraceError {
  return new MillraceError('HASH_KEY', {
    what,
    where,
    next: 'give the key that the values were hashed with, as MILLRACE_HASH_KEY or by the file; without it start a new generation: millrace producer --new-generation',
  })
}

// import/queue: uploaded files, kept until their lines are imported.

import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { connect, query } from '../postgres/client/client.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import { rejectsAsCsv } from './rejects.ts'
import { type ImportResult, importTraffic } from './traffic.ts'

export const mostUploadBytes = 8 * 1024 ** 3

export interface ImportsOptions {
  readonly url: string
  /** Directory for uploaded files and for rejected lines. */
  readonly directory: string
  readonly log: Log
  /** Stops the current import. The next upload of the file continues it. */
  readonly signal: AbortSignal
}

export class Imports {
  readonly #options: ImportsOptions

  constructor(options: ImportsOptions) {
    this.#options = options
  }

  /** @throws {MillraceError} REQUEST_INVALID for a too large file, IMPORT_*, POSTGRES_* */
  async upload(body: Readable, how: { name: string; isNew: boolean; again: boolean }): Promise<ImportResult> {
    const { url, directory, log, signal } = this.#options
    await mkdir(directory, { recursive: true })
    const path = join(directory, `${randomUUID()}.upload`)
    try {
      await pipeline(body, limited(mostUploadBytes), createWriteStream(path), { signal })
      return await importTraffic({ ...how, url, path, rejectsIn: [directory], log, signal })
    } finally {
      await rm(path, { force: true })
    }
  }

  /** @throws {MillraceError} NOT_FOUND, POSTGRES_* */
  async rejects(id: number): Promise<Readable> {
    const client = await connect(this.#options.url)
    const end = () => void client.end().catch(() => {})
    try {
      const found = await query(client, 'SELECT FROM imports.files WHERE file_id = $1', [id])
      if (found.length === 0)
        throw new MillraceError('NOT_FOUND', {
          what: `there is no import ${id}`,
          next: 'use the import_id from the answer to an upload',
        })
    } catch (error) {
      end()
      throw error
    }
    return rejectsAsCsv(client, id).on('close', end)
  }
}

/** Passes bytes on, up to a limit. */
function limited(most: number): Transform {
  let bytes = 0
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length
      if (bytes <= most) return done(null, chunk)
      done(
        new MillraceError('REQUEST_INVALID', {
          what: `the file has more than ${most} bytes`,
          next: 'send it in parts, each with the header',
        }),
      )
    },
  })
}

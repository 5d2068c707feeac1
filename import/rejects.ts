// import/rejects: writes the rejected lines of a file as CSV.

import { access, constants, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { to } from 'pg-copy-streams'
import type { Client } from '../postgres/client/client.ts'
import { replaceFileFrom } from '../runtime/files.ts'
import { unreadable } from './file.ts'

/** Columns `line,reason,original`, with a header, in the order of the lines. */
export function rejectsAsCsv(client: Client, id: number): Readable {
  return client.query(
    to(
      `COPY (SELECT line, reason, original FROM imports.rejects WHERE file_id = ${Math.trunc(id)} ORDER BY line) TO STDOUT (FORMAT csv, HEADER)`,
    ),
  )
}

/**
 * Writes `<name>.rejects.csv` atomically into the first writable directory. Returns its path.
 * @throws {MillraceError} IMPORT_UNREADABLE when no directory is writable
 */
export async function writeRejects(
  client: Client,
  { id, name, directories }: { id: number; name: string; directories: readonly string[] },
): Promise<string> {
  const path = join(await writable(directories), `${name.replace(/\.csv$/i, '')}.rejects.csv`)
  await replaceFileFrom(path, rejectsAsCsv(client, id))
  return path
}

async function writable(directories: readonly string[]): Promise<string> {
  for (const directory of directories) {
    try {
      await mkdir(directory, { recursive: true })
      await access(directory, constants.W_OK)
      return directory
    } catch {
      // try the next directory
    }
  }
  throw unreadable('there is no place for its rejected lines', directories.join(', '), 'name one by --rejects')
}

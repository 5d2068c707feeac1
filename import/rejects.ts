// import/rejects: the rejected lines of a file, as CSV.

import { access, constants, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { to } from 'pg-copy-streams'
import type { Client } from '../postgres/client/client.ts'
import { replaceFileFrom } from '../runtime/files.ts'
import { unreadable } from './file.ts'

/** `line,reason,original` with a header, by line. */
export function rejectsAsCsv(client: Client, id: number): Readable {
  return client.query(
    to(
      `COPY (SELECT line, reason, original FROM imports.rejects WHERE file_id = ${Math.trunc(id)} ORDER BY line) TO STDOUT (FORMAT csv, HEADER)`,
    ),
  )
}

/**
 * Writes `<name>.rejects.csv` into the first of the directories that can be written to, in one step; gives its path.
 * @throws {MillraceError} IMPORT_UNREADABLE when none can
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
      // the next one may do
    }
  }
  throw unreadable('there is no place for its rejected lines', directories.join(', '), 'name one by --rejects')
}

// import/imported-files: remembers imported files by their content, and how far each import got.

import { type Client, query } from '../postgres/client/client.ts'
import { inTransaction } from '../postgres/client/transaction.ts'
import { MillraceError } from '../runtime/errors.ts'
import { hashBeginnings, neighbours } from './file.ts'
import type { Place } from './lines.ts'

export interface ImportedFile {
  readonly id: number
  /** The value of shop.user_traffic.source in its rows. */
  readonly source: string
  /** Compared with earlier imports: new, the same content, longer, or not finished before. */
  readonly state: 'new' | 'known' | 'extended' | 'resumed'
  /** The place up to which its lines are done. */
  readonly done: Place
}

export interface Candidate {
  readonly path: string
  /** Name without directories. */
  readonly name: string
  readonly size: number
  /** Offset of the first line after the header. */
  readonly body: Place
  /** Whether all lines are other visits than those of a file with the same name or beginning. */
  readonly isNew: boolean
  readonly signal: AbortSignal
}

/** Takes the lock of imports, until the connection ends. @throws {MillraceError} IMPORT_RUNNING */
export async function lockImports(client: Client): Promise<void> {
  const [row] = await query<{ locked: boolean }>(
    client,
    "SELECT pg_try_advisory_lock(hashtext('millrace: imports')) AS locked",
  )
  if (row!.locked) return
  throw new MillraceError('IMPORT_RUNNING', {
    what: 'another import is running, and only one can run at a time',
    next: 'try again when it has ended',
  })
}

interface Version {
  readonly id: string
  readonly bytes: string
  readonly latest: string
  readonly source: string
  readonly doneBytes: string
  readonly doneLine: string
}

/**
 * Finds the file by its content, or by its longest beginning that was imported before. Records a
 * new content.
 * @throws {MillraceError} IMPORT_CHANGED, IMPORT_UNREADABLE, POSTGRES_*
 */
export async function recognise(client: Client, candidate: Candidate): Promise<ImportedFile> {
  const { path, name, size, body, isNew, signal } = candidate
  const shorter = await query<{ bytes: string }>(
    client,
    'SELECT DISTINCT bytes FROM imports.versions WHERE bytes < $1 ORDER BY bytes',
    [size],
  )
  const sizes = [...shorter.map(({ bytes }) => Number(bytes)), size]
  const digests = await hashBeginnings(path, sizes, signal)
  const [known] = await query<Version>(
    client,
    `SELECT f.file_id AS id, v.bytes, (SELECT max(bytes) FROM imports.versions WHERE file_id = f.file_id) AS latest,
  f.source, f.done_bytes AS "doneBytes", f.done_line AS "doneLine"
FROM unnest($1::bigint[], $2::text[]) AS given (bytes, sha256) JOIN imports.versions v USING (bytes, sha256) JOIN imports.files f USING (file_id)
ORDER BY v.bytes DESC LIMIT 1`,
    [sizes, digests],
  )
  const version = { bytes: size, sha256: digests.at(-1)!, name }
  if (known === undefined) return begin(client, { version, body, isNew, path })
  const file = {
    id: Number(known.id),
    source: known.source,
    done: { bytes: Number(known.doneBytes), line: Number(known.doneLine) },
  }
  if (Number(known.bytes) === size) return { ...file, state: file.done.bytes >= size ? 'known' : 'resumed' }
  if (known.bytes !== known.latest || !(await endsLine(path, Number(known.bytes)))) {
    if (isNew) return begin(client, { version, body, isNew, path })
    throw changed(path, `its beginning is that of ${known.source}, which went on in another way`)
  }
  await insertVersion(client, { ...version, id: file.id })
  return { ...file, state: 'extended' }
}

/** Records, within the caller's transaction, that the lines up to a place are done. */
export async function advance(client: Client, id: number, done: Place, loaded: number): Promise<void> {
  await query(
    client,
    `UPDATE imports.files SET done_bytes = $2, done_line = $3, loaded = loaded + $4, updated_at = now() WHERE file_id = $1`,
    [id, done.bytes, done.line, loaded],
  )
}

/** Resets the progress and the rejected lines. Loaded lines are recognised by their number. */
export async function startOver(client: Client, id: number, body: Place): Promise<void> {
  await inTransaction(client, async () => {
    await advance(client, id, body, 0)
    await query(client, 'DELETE FROM imports.rejects WHERE file_id = $1', [id])
  })
}

interface Beginning {
  readonly version: { readonly bytes: number; readonly sha256: string; readonly name: string }
  readonly body: Place
  readonly isNew: boolean
  readonly path: string
}

async function begin(client: Client, { version, body, isNew, path }: Beginning): Promise<ImportedFile> {
  const [namesake] = await query<{ source: string }>(
    client,
    `SELECT f.source FROM imports.versions v JOIN imports.files f USING (file_id) WHERE v.name = $1 ORDER BY v.seen_at DESC LIMIT 1`,
    [version.name],
  )
  if (namesake !== undefined && !isNew) {
    throw changed(
      path,
      `a file of this name was imported as ${namesake.source}, and this one is not that file with lines added`,
    )
  }
  return inTransaction(client, async () => {
    const [file] = await query<{ id: string; source: string }>(
      client,
      `INSERT INTO imports.files (file_id, name, source, done_bytes, done_line) OVERRIDING SYSTEM VALUE
SELECT id, $1::text, format('csv:%s:%s', id, $1::text), $2::bigint, $3::bigint FROM (SELECT nextval(pg_get_serial_sequence('imports.files', 'file_id')) AS id) AS new
RETURNING file_id AS id, source`,
      [version.name, body.bytes, body.line],
    )
    const id = Number(file!.id)
    await insertVersion(client, { ...version, id })
    return { id, source: file!.source, state: 'new' as const, done: body }
  })
}

async function insertVersion(
  client: Client,
  { bytes, sha256, name, id }: Beginning['version'] & { readonly id: number },
): Promise<void> {
  await query(client, 'INSERT INTO imports.versions (bytes, sha256, name, file_id) VALUES ($1, $2, $3, $4)', [
    bytes,
    sha256,
    name,
    id,
  ])
}

/** Whether a line ends there. If not, the added text has changed the last line. */
async function endsLine(path: string, offset: number): Promise<boolean> {
  const { before, after } = await neighbours(path, offset)
  return /[\r\n]/.test(before) || /[\r\n]/.test(after)
}

function changed(path: string, what: string): MillraceError {
  return new MillraceError('IMPORT_CHANGED', {
    what: `${what}; lines in both files would count twice`,
    where: path,
    next: 'if all its lines are other visits, import it with --new; to correct rejected lines, put them into a separate file',
  })
}

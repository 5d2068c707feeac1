// cli/forget/erase-person: erases one person in Postgres and remembers their former values.
// The statements are in the model's `forget/<subject>.sql`.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { splitStatements } from '../../modeling/model.ts'
import { type Client, query, withClient } from '../../postgres/client/client.ts'
import { postgresError } from '../../postgres/client/errors.ts'
import { walInsertLsn } from '../../postgres/replication/history.ts'
import type { Config } from '../../runtime/config/config.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { replaceFile } from '../../runtime/files.ts'

/** A row of the first statement: `schema.table.column` → the value as Postgres prints it. */
export type FormerRow = Readonly<Record<string, string | null>>

export interface Person {
  /** The kind of person, such as `customer`. */
  readonly subject: string
  readonly id: string
}

/** The data needed to prove that nothing is left. It is in a file, so a crash does not lose it. */
interface Journal {
  readonly rows: readonly FormerRow[]
}

export interface Erased {
  readonly rows: readonly FormerRow[]
  /** A load that starts at this LSN or later does not contain the person. */
  readonly lsn: number
}

/** @throws {MillraceError} USAGE, with the subjects that the model can forget */
export function forgetFile({ model }: Config, subject: string): string {
  const directory = model === undefined ? undefined : join(model, 'forget')
  const path = directory && join(directory, `${subject}.sql`)
  if (path !== undefined && /^[a-z][a-z0-9_-]*$/.test(subject) && existsSync(path)) return path
  const known = directory && existsSync(directory) ? readdirSync(directory).map(file => file.replace(/\.sql$/, '')) : []
  throw new MillraceError('USAGE', {
    what: `the model does not say how to forget a "${subject}"`,
    where: directory ?? 'model in the configuration',
    next:
      known.length > 0
        ? `it knows: ${known.join(', ')}`
        : 'write forget/<subject>.sql, as docs/how-to/personal-data.md describes it',
  })
}

/**
 * Erases the person in Postgres, in one transaction. A repetition after a crash keeps the values
 * that the first attempt found.
 * @throws {MillraceError} USAGE when there is no such person, POSTGRES_*
 */
export async function erase(url: string, config: Config, person: Person): Promise<Erased> {
  const [select, ...changes] = splitStatements(readFileSync(forgetFile(config, person.subject), 'utf8'))
  return withClient(url, async client => {
    await query(client, 'BEGIN')
    const found = await run(client, select ?? '', person)
    const rows = readJournal(config, person)?.rows ?? found
    if (rows.length === 0) throw unknown(person)
    writeJournal(config, person, { rows })
    for (const change of changes) await run(client, change, person)
    await query(client, 'COMMIT')
    return { rows, lsn: await walInsertLsn(client) }
  })
}

/** Deletes the file once nothing of the person is found any more. */
export function closeJournal(config: Config, person: Person): void {
  rmSync(journalPath(config, person), { force: true })
}

const printed = { getTypeParser: () => (text: string) => text }

async function run(client: Client, text: string, { id }: Person): Promise<FormerRow[]> {
  try {
    const values = /\$1\b/.test(text.replace(/^\s*--.*$/gm, '')) ? [id] : []
    const { rows } = await client.query<FormerRow>({ text, values, types: printed as never })
    return rows
  } catch (error) {
    throw postgresError(error, 'forget a person')
  }
}

function readJournal(config: Config, person: Person): Journal | undefined {
  const path = journalPath(config, person)
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Journal) : undefined
}

function writeJournal(config: Config, person: Person, journal: Journal): void {
  mkdirSync(join(config.directory, 'forget'), { recursive: true, mode: 0o700 })
  replaceFile(journalPath(config, person), JSON.stringify(journal))
}

function journalPath({ directory, name }: Config, { subject, id }: Person): string {
  return join(directory, 'forget', `${name}.${subject}.${encodeURIComponent(id)}.json`)
}

function unknown({ subject, id }: Person): MillraceError {
  return new MillraceError('USAGE', {
    what: `there is no ${subject} ${id}, or this person was forgotten before`,
    where: 'the source database',
    next: 'check the number; nothing was changed',
  })
}

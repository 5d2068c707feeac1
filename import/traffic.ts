// import/traffic: imports a CSV file of visits into shop.user_traffic, each line exactly once.

import { basename, dirname } from 'node:path'
import { type Client, query, withClient } from '../postgres/client/client.ts'
import type { Log } from '../runtime/log.ts'
import { type Batch, loadBatch, prepareBatches } from './batch.ts'
import { type Header, readHeader, readVisit } from './columns.ts'
import { inspectFile, neighbours, unreadable } from './file.ts'
import { type ImportedFile, lockImports, recognise, startOver } from './imported-files.ts'
import type { Place } from './lines.ts'
import { type CsvRecord, readRecords } from './records.ts'
import { writeRejects } from './rejects.ts'

export interface ImportOptions {
  readonly url: string
  readonly path: string
  /** Name of the file; default: from the path. */
  readonly name?: string
  /** All lines are other visits than those of a file with the same name or beginning. */
  readonly isNew?: boolean
  /** Looks at every line again, because missing customers or sources may exist now. */
  readonly again?: boolean
  /**
   * Directories for the rejects file. The first writable one is used; default: that of the file.
   */
  readonly rejectsIn?: readonly string[]
  readonly log: Log
  /** Stops after the current batch. The next import of the file continues there. */
  readonly signal: AbortSignal
}

export interface ImportResult {
  readonly file: string
  /** Number in imports.files; null for a file with nothing but its header. */
  readonly import_id: number | null
  readonly state: ImportedFile['state']
  /** Lines by result, of this run. */
  readonly loaded: number
  readonly rejected: number
  /** Lines by result, of the whole file and all runs. */
  readonly total: { readonly loaded: number; readonly rejected: number }
  /** File with all rejected lines; null when there are none. */
  readonly rejects_file: string | null
  readonly seconds: number
}

const batchRecords = 10_000
const batchBytes = 8 << 20

/**
 * @throws {MillraceError} IMPORT_UNREADABLE, IMPORT_CHANGED, IMPORT_RUNNING, POSTGRES_*
 * @throws the signal's reason when it was stopped
 */
export async function importTraffic(options: ImportOptions): Promise<ImportResult> {
  const { url, path, log } = options
  const name = options.name ?? basename(path)
  const started = performance.now()
  const { size, textAt } = await inspectFile(path)
  const { header, body } = await findHeader(path, textAt, size)
  return withClient(url, async client => {
    await lockImports(client)
    if (!(await hasLines(path, body, size))) return { ...nothing(name), seconds: secondsSince(started) }
    const file = await recognise(client, { ...options, isNew: options.isNew ?? false, name, size, body })
    if (options.again && file.state !== 'new') await startOver(client, file.id, body)
    const from = options.again ? body : file.done
    log.info('importing', { file: name, source: file.source, state: file.state, fromLine: from.line + 1 })
    await prepareBatches(client)
    const done = await loadLines(client, { options, file, header, from, size })
    const total = await totalOf(client, file.id)
    const directories = options.rejectsIn ?? [dirname(path)]
    const rejects_file = total.rejected === 0 ? null : await writeRejects(client, { id: file.id, name, directories })
    const result = { file: name, import_id: file.id, state: file.state, ...done, total, rejects_file }
    log.info('imported', { file: name, state: file.state, ...done })
    return { ...result, seconds: secondsSince(started) }
  })
}

function nothing(file: string): Omit<ImportResult, 'seconds'> {
  const none = { loaded: 0, rejected: 0 }
  return { file, import_id: null, state: 'known', ...none, total: none, rejects_file: null }
}

/** The first line that is not empty, and the offset of the next line. */
async function findHeader(path: string, textAt: number, size: number): Promise<{ header: Header; body: Place }> {
  for await (const { records } of readRecords(path, { bytes: textAt, line: 0 }, size)) {
    const [first] = records
    if (first === undefined) continue
    const { fields, end } = first
    if ('fault' in fields)
      throw unreadable(`its header cannot be read: ${fields.fault}`, path, 'save it as CSV in UTF-8')
    return { header: readHeader(fields, path), body: end }
  }
  throw unreadable('it has no header', path, 'ask for the file again')
}

async function hasLines(path: string, body: Place, size: number): Promise<boolean> {
  for await (const { records } of readRecords(path, body, size)) if (records.length > 0) return true
  return false
}

interface Loading {
  readonly options: ImportOptions
  readonly file: ImportedFile
  readonly header: Header
  readonly from: Place
  readonly size: number
}

async function loadLines(client: Client, { options, file, header, from, size }: Loading) {
  const { path, log, signal } = options
  const totals = { loaded: 0, rejected: 0 }
  const start = await afterLineEnd(path, from)
  let batch = emptyBatch(start)
  let bytes = 0
  const flush = async () => {
    const { loaded, rejected } = await loadBatch(client, file, batch)
    totals.loaded += loaded
    totals.rejected += rejected
    log.info('lines are imported', {
      line: batch.done.line,
      percent: Math.floor((batch.done.bytes * 100) / size),
      ...totals,
    })
    batch = emptyBatch(batch.done)
    bytes = 0
    signal.throwIfAborted()
  }
  let end = start
  for await (const { records, done } of readRecords(path, start, size)) {
    end = done
    for (const record of records) {
      sort(record, header, batch)
      bytes += record.bytes
      if (batch.visits.length + batch.rejects.length >= batchRecords || bytes >= batchBytes) await flush()
    }
  }
  batch.done = end
  if (batch.done.bytes > file.done.bytes || options.again) await flush()
  return totals
}

/** A file that ended without a line end may have got one before lines were added. */
async function afterLineEnd(path: string, { bytes, line }: Place): Promise<Place> {
  const { before, after } = await neighbours(path, bytes)
  if (before === '\r' && after === '\n') return { bytes: bytes + 1, line }
  if (/[\r\n]/.test(before) || !/[\r\n]/.test(after)) return { bytes, line }
  const next = await neighbours(path, bytes + 1)
  return { bytes: bytes + (after === '\r' && next.after === '\n' ? 2 : 1), line }
}

function emptyBatch(done: Place): Batch {
  return { visits: [], rejects: [], done }
}

function sort({ line, fields, original, end }: CsvRecord, header: Header, batch: Batch): void {
  batch.done = end
  const visit = 'fault' in fields ? fields.fault : readVisit(fields, header)
  if (typeof visit === 'string') batch.rejects.push({ line, reason: visit, original: original() })
  else batch.visits.push({ ...visit, line, original })
}

async function totalOf(client: Client, id: number): Promise<ImportResult['total']> {
  const [row] = await query<{ loaded: string; rejected: string }>(
    client,
    'SELECT loaded, (SELECT count(*) FROM imports.rejects WHERE file_id = $1) AS rejected FROM imports.files WHERE file_id = $1',
    [id],
  )
  return { loaded: Number(row!.loaded), rejected: Number(row!.rejected) }
}

function secondsSince(started: number): number {
  return Math.round(performance.now() - started) / 1000
}

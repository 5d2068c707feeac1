// import/records: CSV records from lines; an unreadable record does not affect the others.

import { isUtf8 } from 'node:buffer'
import { parse } from 'csv-parse/sync'
import { type Line, longestLine, type Place, readLines } from './lines.ts'

export interface CsvRecord {
  /** Its first line. */
  readonly line: number
  /** Its values, or its error. */
  readonly fields: readonly string[] | { readonly fault: string }
  /** Its text in the file. A byte that is not UTF-8 is written as \x and two digits. */
  readonly original: () => string
  /** The place after it. */
  readonly end: Place
  readonly bytes: number
}

/** Maximum of lines of a value in quotes. */
const mostLines = 100

export interface RecordPiece {
  readonly records: readonly CsvRecord[]
  /** The place after the last of these lines, or after empty lines behind it. */
  readonly done: Place
}

/** The records between two places, without empty lines. @throws {Error} of the file system */
export async function* readRecords(path: string, from: Place, until: number): AsyncGenerator<RecordPiece> {
  const joiner = new RecordJoiner(from)
  for await (const lines of readLines(path, from, until)) {
    const records: CsvRecord[] = []
    for (const line of lines) joiner.push(line, records)
    yield { records, done: joiner.done }
  }
  const records: CsvRecord[] = []
  joiner.end(records)
  yield { records, done: joiner.done }
}

/**
 * Joins lines while a quote is open. If the joined lines are not a record, or the quote is never
 * closed, only the first line is rejected and reading continues with the second. So a stray quote
 * does not consume the lines after it.
 */
export class RecordJoiner {
  /** The place after the last finished line. */
  done: Place
  #open: Line[] = []
  #openBytes = 0
  #quoteOpen = false

  constructor(from: Place) {
    this.done = from
  }

  push(line: Line, into: CsvRecord[]): void {
    this.#add(line, into)
    if (this.#open.length === 0) this.done = { bytes: line.end, line: line.number }
  }

  #add(line: Line, into: CsvRecord[]): void {
    if (line.tooLong !== undefined) {
      this.#giveUpWhileOpen(into)
      into.push(faulty(line, `the line has ${line.tooLong} bytes, and ${longestLine} are the most`))
      return
    }
    const turns = quotes(line.text) % 2 === 1
    if (this.#open.length === 0 && !turns) {
      if (line.text !== '') into.push(recordOf([line]))
      return
    }
    this.#open.push(line)
    this.#openBytes += line.text.length + line.eol.length
    if (turns) this.#quoteOpen = !this.#quoteOpen
    if (!this.#quoteOpen) this.#close(into)
    else if (this.#openBytes > longestLine || this.#open.length > mostLines) this.#giveUp(into)
  }

  end(into: CsvRecord[]): void {
    const last = this.#open.at(-1)
    this.#giveUpWhileOpen(into)
    if (last !== undefined) this.done = { bytes: last.end, line: last.number }
  }

  #close(into: CsvRecord[]): void {
    const lines = this.#take()
    const record = recordOf(lines)
    if ('fault' in record.fields && lines.length > 1) this.#onlyFirst(lines, record.fields.fault, into)
    else into.push(record)
  }

  #giveUpWhileOpen(into: CsvRecord[]): void {
    while (this.#open.length > 0) this.#giveUp(into)
  }

  #giveUp(into: CsvRecord[]): void {
    this.#onlyFirst(this.#take(), 'a quote is opened and not closed', into)
  }

  #onlyFirst([first, ...others]: Line[], fault: string, into: CsvRecord[]): void {
    into.push(faulty(first!, fault))
    for (const line of others) this.#add(line, into)
  }

  #take(): Line[] {
    const lines = this.#open
    this.#open = []
    this.#openBytes = 0
    this.#quoteOpen = false
    return lines
  }
}

function quotes(text: string): number {
  let count = 0
  for (let at = text.indexOf('"'); at >= 0; at = text.indexOf('"', at + 1)) count++
  return count
}

function faulty(line: Line, fault: string): CsvRecord {
  const more = line.tooLong === undefined ? '' : ` … (${line.tooLong} bytes)`
  const end = { bytes: line.end, line: line.number }
  const { length } = line.text
  return { line: line.number, fields: { fault }, original: () => legible(line.text) + more, end, bytes: length }
}

function recordOf(lines: readonly Line[]): CsvRecord {
  const [first] = lines
  const last = lines.at(-1)!
  const text =
    lines.length === 1 ? last.text : lines.map(line => (line === last ? line.text : line.text + line.eol)).join('')
  const end = { bytes: last.end, line: last.number }
  return { line: first!.number, fields: fieldsOf(text), original: () => legible(text), end, bytes: text.length }
}

function fieldsOf(bytes: string): CsvRecord['fields'] {
  const text = decoded(bytes)
  if (typeof text !== 'string') return text
  if (!text.includes('"')) return text.split(',')
  try {
    const records = parse(text, { relax_column_count: true, record_delimiter: ['\r\n', '\n', '\r'] })
    return records.length === 1 ? records[0]! : { fault: 'a quote is at a place where none is allowed' }
  } catch {
    return { fault: 'a quote is at a place where none is allowed; a quote inside a value is written twice' }
  }
}

const beyondAscii = /[\0\x80-\xff]/

function decoded(bytes: string): string | { fault: string } {
  if (!beyondAscii.test(bytes)) return bytes
  const nul = bytes.indexOf('\0')
  if (nul >= 0) return { fault: `a NUL byte at byte ${nul + 1} of the line` }
  const buffer = Buffer.from(bytes, 'latin1')
  return isUtf8(buffer)
    ? buffer.toString()
    : { fault: `bytes that are no UTF-8${whereNot(buffer)}; save the file as UTF-8` }
}

function whereNot(buffer: Buffer): string {
  let good = 0
  while (isUtf8(buffer.subarray(0, good + 1)) || (buffer[good + 1] ?? 0) >> 6 === 2) good++
  return `, at or before byte ${good + 1} of the line`
}

function legible(bytes: string): string {
  const buffer = Buffer.from(bytes, 'latin1')
  if (isUtf8(buffer) && !bytes.includes('\0')) return buffer.toString()
  return bytes.replace(/[\0\x80-\xff]/g, byte => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

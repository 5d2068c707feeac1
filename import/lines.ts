// import/lines: reads the physical lines of a file in bounded memory.
// Bytes are kept as Latin-1 text, one character per byte, so invalid UTF-8 is not lost.

import { open } from 'node:fs/promises'

export interface Line {
  /** 1 is the first line of the file. */
  readonly number: number
  /** Without the line end. Of a line that is too long, only the beginning. */
  readonly text: string
  /** LF, CR LF, CR, or nothing at the end of the file. */
  readonly eol: string
  /** Offset in the file after the line and its end. */
  readonly end: number
  /** Size in bytes, if the line is longer than `longestLine`. */
  readonly tooLong?: number
}

export interface Place {
  /** Offset in the file. */
  readonly bytes: number
  /** Number of lines before it. */
  readonly line: number
}

export const longestLine = 65_536
/** Bytes that are kept of a longer line. */
const keptOfLong = 1_000
const chunkBytes = 1 << 16

const lineFeed = 10
const carriageReturn = 13

/** The lines between two offsets, in one list per chunk. @throws {Error} of the file system */
export async function* readLines(path: string, from: Place, until: number): AsyncGenerator<Line[]> {
  const file = await open(path)
  try {
    const cutter = new LineCutter(from)
    const chunk = Buffer.allocUnsafe(chunkBytes)
    for (let at = from.bytes; at < until; ) {
      const { bytesRead } = await file.read(chunk, 0, Math.min(chunkBytes, until - at), at)
      if (bytesRead === 0) break
      at += bytesRead
      yield [...cutter.cut(chunk.subarray(0, bytesRead))]
    }
    yield [...cutter.end()]
  } finally {
    await file.close()
  }
}

export class LineCutter {
  #line: number
  /** Offset in the file of the bytes in `#rest`. */
  #offset: number
  #rest = Buffer.alloc(0)
  /** Beginning and size so far of a too long line. */
  #long: { readonly text: string; bytes: number } | undefined

  constructor({ bytes, line }: Place) {
    this.#offset = bytes
    this.#line = line
  }

  /** The lines that end within the bytes. The caller may overwrite the bytes afterwards. */
  *cut(bytes: Buffer): Generator<Line> {
    const buffer = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    let start = 0
    let cr = -1
    for (;;) {
      const lf = buffer.indexOf(lineFeed, start)
      if (cr < start) cr = indexOrEnd(buffer.indexOf(carriageReturn, start), buffer)
      const stop = Math.min(cr, indexOrEnd(lf, buffer))
      // A CR at the very end may be the first half of CR LF.
      if (stop >= buffer.length || (stop === cr && cr === buffer.length - 1)) break
      const eol = stop === cr ? (buffer[cr + 1] === lineFeed ? '\r\n' : '\r') : '\n'
      yield this.#finish(buffer.toString('latin1', start, stop), eol)
      start = stop + eol.length
    }
    this.#keep(buffer.subarray(start))
  }

  /** The last line, at the end of the file. */
  *end(): Generator<Line> {
    const text = this.#rest.toString('latin1')
    this.#rest = Buffer.alloc(0)
    if (text.endsWith('\r')) yield this.#finish(text.slice(0, -1), '\r')
    else if (text !== '' || this.#long !== undefined) yield this.#finish(text, '')
  }

  #finish(text: string, eol: string): Line {
    const bytes = (this.#long?.bytes ?? 0) + text.length
    this.#offset += text.length + eol.length
    const line = { number: ++this.#line, text: this.#long?.text ?? text, eol, end: this.#offset }
    this.#long = undefined
    return bytes > longestLine ? { ...line, text: line.text.slice(0, keptOfLong), tooLong: bytes } : line
  }

  /** Counts the size of a line that is already too long. */
  #keep(rest: Buffer): void {
    const endsInCr = rest.at(-1) === carriageReturn
    const body = endsInCr ? rest.length - 1 : rest.length
    if (this.#long === undefined && body <= longestLine) {
      this.#rest = Buffer.from(rest)
      return
    }
    this.#long ??= { text: rest.toString('latin1', 0, keptOfLong), bytes: 0 }
    this.#long.bytes += body
    this.#offset += body
    this.#rest = Buffer.from(rest.subarray(body))
  }
}

function indexOrEnd(index: number, buffer: Buffer): number {
  return index < 0 ? buffer.length : index
}

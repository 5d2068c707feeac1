// import/file: checks whether a file can be read, and identifies it by hashes of its content.

import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { MillraceError } from '../runtime/errors.ts'

export interface OpenedFile {
  readonly size: number
  /** Offset of the text, after a byte order mark. */
  readonly textAt: number
}

const marks: readonly { readonly bytes: readonly number[]; readonly what: string; readonly next: string }[] = [
  { bytes: [0xff, 0xfe], what: 'it is UTF-16 or UTF-32', next: 'save it as UTF-8' },
  { bytes: [0xfe, 0xff], what: 'it is UTF-16', next: 'save it as UTF-8' },
  { bytes: [0x00, 0x00, 0xfe, 0xff], what: 'it is UTF-32', next: 'save it as UTF-8' },
  { bytes: [0x1f, 0x8b], what: 'it is compressed by gzip', next: 'unpack it first' },
  {
    bytes: [0x50, 0x4b, 0x03, 0x04],
    what: 'it is a zip archive or a workbook',
    next: 'unpack it, or save the sheet as CSV',
  },
]
const utf8Mark = [0xef, 0xbb, 0xbf]

/**
 * @throws {MillraceError} IMPORT_UNREADABLE if it is not a file, is empty, or does not begin as
 *   UTF-8 text
 */
export async function inspectFile(path: string): Promise<OpenedFile> {
  return withFile(path, async file => {
    const stat = await file.stat()
    if (!stat.isFile()) throw unreadable('it is no file that can be read twice', path, 'save it as a file first')
    if (stat.size === 0)
      throw unreadable('it is empty', path, 'ask for the file again; without visits it has its header only')
    const start = Buffer.alloc(4)
    const { bytesRead } = await file.read(start, 0, 4, 0)
    const begins = (bytes: readonly number[]) =>
      bytes.length <= bytesRead && bytes.every((byte, at) => start[at] === byte)
    const mark = marks.find(({ bytes }) => begins(bytes))
    if (mark !== undefined) throw unreadable(mark.what, path, mark.next)
    return { size: stat.size, textAt: begins(utf8Mark) ? utf8Mark.length : 0 }
  })
}

/**
 * SHA-256, in hex, of the first bytes of the file, for each of these sizes.
 * @param sizes in bytes, ascending
 * @throws {MillraceError} IMPORT_UNREADABLE when the file is shorter than the largest size
 */
export async function hashBeginnings(path: string, sizes: readonly number[], signal: AbortSignal): Promise<string[]> {
  return withFile(path, async file => {
    const hash = createHash('sha256')
    const chunk = Buffer.allocUnsafe(1 << 20)
    const digests: string[] = []
    let at = 0
    for (const size of sizes) {
      while (at < size) {
        signal.throwIfAborted()
        const { bytesRead } = await file.read(chunk, 0, Math.min(chunk.length, size - at), at)
        if (bytesRead === 0)
          throw unreadable('it became shorter while it was read', path, 'import it once it is complete')
        hash.update(chunk.subarray(0, bytesRead))
        at += bytesRead
      }
      digests.push(hash.copy().digest('hex'))
    }
    return digests
  })
}

/** The bytes before and after an offset, as Latin-1 text. */
export async function neighbours(path: string, offset: number): Promise<{ before: string; after: string }> {
  return withFile(path, async file => {
    const byteAt = async (at: number) => {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(1), 0, 1, at)
      return bytesRead === 0 ? '' : buffer.toString('latin1')
    }
    return { before: offset === 0 ? '' : await byteAt(offset - 1), after: await byteAt(offset) }
  })
}

async function withFile<Result>(path: string, work: (file: FileHandle) => Promise<Result>): Promise<Result> {
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    throw unreadable(
      error.code === 'ENOENT' ? 'there is no such file' : error.message,
      path,
      'check the path and the rights',
      error,
    )
  })
  try {
    return await work(file)
  } catch (error) {
    if (error instanceof Error && 'syscall' in error)
      throw unreadable(error.message, path, 'check the path and the disk', error)
    throw error
  } finally {
    await file.close()
  }
}

/** The error for a file that cannot be imported at all. */
export function unreadable(what: string, where: string, next: string, cause?: unknown): MillraceError {
  return new MillraceError('IMPORT_UNREADABLE', { what, where, next, cause })
}

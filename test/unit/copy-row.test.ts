// test/unit/copy-row: rows of COPY's text format, against a writer that follows the manual.

import fc from 'fast-check'
import { parseCopyRow } from '../../postgres/protocol/copy-row.ts'
import { Tuple } from '../../postgres/protocol/tuple.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { valuesOf } from '../support/servers/recording-handler.ts'

const test = suite('copy row')

const escapes: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
}

/** https://www.postgresql.org/docs/current/sql-copy.html: what COPY TO writes. */
function write(values: readonly (string | null)[]): Buffer {
  const fields = values.map(value => {
    if (value === null) return '\\N'
    return [...value].map(character => escapes[character] ?? character).join('')
  })
  return Buffer.from(`${fields.join('\t')}\n`)
}

const text = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: fc.constantFrom('\\', 'N', '\t', '\n', '\r', '\b', '\f', '\v', '.', 'n', 'é', '💥') }),
)
const row = fc.array(fc.option(text), { minLength: 1, maxLength: 8 })

test('every row is read as it was written, with one reused tuple', () => {
  const tuple = new Tuple()
  fc.assert(
    fc.property(row, values => {
      parseCopyRow(write(values), values.length, tuple)
      assert.equal(valuesOf(tuple), values)
    }),
    { numRuns: 5_000 },
  )
})

test('NULL, the text \\N, the empty text and the end marker stay distinct', () => {
  const tuple = new Tuple()
  parseCopyRow(Buffer.from('\\N\t\\\\N\t\t\\\\.\n'), 4, tuple)
  assert.equal(valuesOf(tuple), [null, '\\N', '', '\\.'])
})

const refused: Readonly<Record<string, readonly [string, number]>> = {
  'too few columns': ['a\tb\n', 3],
  'too many columns': ['a\tb\tc\n', 2],
  'no newline': ['a\tb', 2],
  'nothing at all': ['', 1],
  'a newline inside': ['a\nb\n', 1],
  'an octal escape': ['\\101\n', 1],
  'a backslash at its end': ['a\\\n', 1],
  'NULL with more behind it': ['\\Nx\n', 1],
  'NULL behind something': ['x\\N\n', 1],
}

for (const [title, [line, columns]] of Object.entries(refused)) {
  test(`a row with ${title} is refused`, async () => {
    await assert.refuses(() => parseCopyRow(Buffer.from(line), columns, new Tuple()), 'STREAM_CORRUPT')
  })
}

test('random bytes are read or refused, never anything else', () => {
  const bytes = fc.array(fc.constantFrom(0x09, 0x0a, 0x5c, 0x4e, 0x6e, 0x41), { maxLength: 12 })
  fc.assert(
    fc.property(bytes, fc.integer({ min: 1, max: 4 }), (line, columns) => {
      try {
        parseCopyRow(Buffer.from(line), columns, new Tuple())
      } catch (error) {
        return error instanceof MillraceError && error.code === 'STREAM_CORRUPT'
      }
      return true
    }),
    { numRuns: 10_000 },
  )
})

test.run()

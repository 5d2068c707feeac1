// test/unit/encode: text rows through the encoder and back by avsc, at the limits and at random.

import fc from 'fast-check'
import { AvroWriter } from '../../contract/avro-writer.ts'
import { type Change, Encoder } from '../../contract/encode.ts'
import { readHead } from '../../contract/head.ts'
import { Refusal } from '../../contract/refusal.ts'
import type { Column, Encoding, Table } from '../../contract/table.ts'
import { textRow } from '../support/fixtures/text-row.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { createDecoder, showNumber } from '../support/servers/decode.ts'

const change: Change = {
  op: 'c',
  lsn: 2 ** 53 - 1,
  ordinal: 7,
  txId: 4_294_967_295,
  commitTimeUs: 1_795_237_595_514_425,
  snapshot: false,
  madeAtMs: 1_795_237_595_514,
}

function column(encoding: Encoding, more: Partial<Column> = {}): Column {
  return { name: 'v', pgType: encoding, encoding, nullable: true, ...more }
}

function tableOf(...columns: Column[]): Table {
  const key: Column = { name: 'id', pgType: 'integer', encoding: 'int', nullable: false }
  return { schema: 'S', name: 'a"b', columns: [key, ...columns], key: ['id'], partitionKey: ['id'] }
}

function encoderOf(table: Table, maxImageBytes = 1_000_000): Encoder {
  return new Encoder({ table, keySchemaId: 1, valueSchemaId: 2, maxImageBytes }, new AvroWriter())
}

const codecs = new Map<string, { encoder: Encoder; decoder: ReturnType<typeof createDecoder> }>()

/** The value after a round trip through the column. */
function roundTrip(about: Column, text: string): string | null {
  const name = JSON.stringify(about)
  const codec = codecs.get(name) ?? { encoder: encoderOf(tableOf(about)), decoder: createDecoder(tableOf(about)) }
  codecs.set(name, codec)
  codec.encoder.encode(change, undefined, textRow(['5', text]))
  const { writer, keyEnd, valueEnd } = codec.encoder
  return codec.decoder.value(writer.buffer.subarray(keyEnd, valueEnd)).after!.v!
}

function refusal(about: Column, text: string | null): Refusal {
  const encoder = encoderOf(tableOf(about))
  try {
    encoder.encode(change, undefined, textRow(['5', text]))
  } catch (error) {
    assert.instance(error, Refusal)
    return error as Refusal
  }
  throw new Error(`${text} was not refused as ${about.encoding}`)
}

const test = suite('encode')

test('an envelope carries key, position, source and both images', () => {
  const table = tableOf(column('string'))
  const encoder = encoderOf(table)
  encoder.encode({ ...change, op: 'u' }, textRow(['-3', null]), textRow(['-3', 'né']))
  const { writer, keyEnd, valueEnd } = encoder
  const decoder = createDecoder(table)
  const value = Buffer.from(writer.buffer.subarray(keyEnd, valueEnd))
  const { madeAtMs, ...rest } = change
  assert.equal({ ...decoder.key(writer.buffer.subarray(0, keyEnd)) }, { id: '-3' })
  const record = decoder.value(value)
  assert.equal({ ...record.before }, { id: '-3', v: null })
  assert.equal({ ...record.after }, { id: '-3', v: 'né' })
  assert.equal({ ...record, before: 0, after: 0 }, { ...rest, op: 'u', schema: 'S', table: 'a"b', before: 0, after: 0 })
  assert.is(readHead(value, 0, value.length).lsn, change.lsn)
  assert.is(value.readUInt32BE(1), 2)
  assert.ok(madeAtMs)
})

test('a truncate has no key and no image', () => {
  const table = tableOf(column('string'))
  const encoder = encoderOf(table)
  encoder.encode({ ...change, op: 't' }, undefined, undefined)
  const record = createDecoder(table).value(encoder.writer.buffer.subarray(encoder.keyEnd, encoder.valueEnd))
  assert.is(encoder.keyEnd, 0)
  assert.equal([record.op, record.before, record.after], ['t', null, null])
})

test('integers are exact at every limit', () => {
  const limits = [0n, 1n, 127n, 128n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n]
  const powers = Array.from({ length: 63 }, (_, bit) => 2n ** BigInt(bit))
  const tens = Array.from({ length: 19 }, (_, digits) => 10n ** BigInt(digits))
  for (const limit of [...limits, ...powers, ...tens, 2n ** 63n - 1n]) {
    for (const value of [limit, limit - 1n, -limit, -limit - 1n]) {
      assert.is(roundTrip(column('long'), String(value)), String(value))
    }
  }
})

test('random integers are exact', () => {
  fc.assert(
    fc.property(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.integer({ min: 0, max: 63 }), (value, shift) => {
      const text = String(value >> BigInt(shift))
      assert.is(roundTrip(column('long'), text), text)
    }),
    { numRuns: 3000 },
  )
})

test('floats keep their bits', () => {
  const special = ['NaN', 'Infinity', '-Infinity', '-0', '0', '5e-324', '2.2250738585072014e-308', '1e+22', '1e+23']
  const long = ['1.7976931348623157e+308', '0.30000000000000004', '9007199254740993', '123456789012345.6', '1e-05']
  for (const text of [...special, ...long]) assert.is(roundTrip(column('double'), text), showNumber(Number(text)))
  for (const text of ['NaN', '-Infinity', '-0', '1e-45', '3.4028235e+38', '0.1', '16777216', '1.1754944e-38']) {
    assert.is(roundTrip(column('float'), text), showNumber(Math.fround(Number(text))))
  }
  assert.is(roundTrip(column('float'), '7.038531e-26'), '7.038530691851209e-26')
})

test('random floats keep their bits', () => {
  fc.assert(
    fc.property(fc.double(), value => {
      assert.is(roundTrip(column('double'), showNumber(value)), showNumber(value))
    }),
    { numRuns: 3000 },
  )
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 99_999_999 }), fc.integer({ min: 0, max: 17 }), (digits, decimals) => {
      const text = `-${(digits / 10 ** 8).toFixed(decimals)}`
      assert.is(roundTrip(column('double'), text), showNumber(Number(text)))
    }),
    { numRuns: 3000 },
  )
})

test('random decimals are exact up to 76 digits, in as few bytes as hold them', () => {
  const digits = fc.integer({ min: 1, max: 76 }).chain(precision =>
    fc.record({
      precision: fc.constant(precision),
      scale: fc.integer({ min: 0, max: precision }),
      unscaled: fc.bigInt(-(10n ** BigInt(precision)) + 1n, 10n ** BigInt(precision) - 1n),
      shorter: fc.integer({ min: 0, max: precision - 1 }),
    }),
  )
  fc.assert(
    fc.property(digits, ({ precision, scale, unscaled, shorter }) => {
      const text = decimalText(unscaled / 10n ** BigInt(shorter), scale)
      assert.is(roundTrip(column('decimal', { precision, scale }), text), text)
    }),
    { numRuns: 5000 },
  )
  for (const [text, bytes] of [
    ['0', '00'],
    ['127', '7f'],
    ['128', '0080'],
    ['-128', '80'],
    ['-129', 'ff7f'],
  ] as const) {
    for (const precision of [3, 40]) {
      const encoder = encoderOf(tableOf(column('decimal', { precision, scale: 0, nullable: false })))
      encoder.encode(change, undefined, textRow(['5', text]))
      assert.is(encoder.writer.buffer.toString('hex', encoder.valueEnd - bytes.length / 2, encoder.valueEnd), bytes)
    }
  }
})

test('a decimal of fewer decimals than declared is scaled up', () => {
  const wide = column('decimal', { precision: 60, scale: 20 })
  assert.is(roundTrip(wide, '-12.5'), '-12.50000000000000000000')
  assert.is(roundTrip(column('decimal', { precision: 9, scale: 4 }), '12'), '12.0000')
})

function decimalText(unscaled: bigint, scale: number): string {
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0')
  const fraction = scale > 0 ? `.${digits.slice(-scale)}` : ''
  return `${unscaled < 0n ? '-' : ''}${digits.slice(0, digits.length - scale)}${fraction}`
}

test('every day that Date32 holds arrives as itself', () => {
  for (let day = -25_567; day <= 120_529; day++) {
    const text = new Date(day * 86_400_000).toISOString().slice(0, 10)
    if (roundTrip(column('date'), text) !== text) assert.is(roundTrip(column('date'), text), text)
  }
})

test('random instants are exact to the microsecond, also beyond 2^53', () => {
  const seconds = fc.integer({ min: -2_208_988_800, max: 10_413_791_999 })
  fc.assert(
    fc.property(seconds, fc.integer({ min: 0, max: 999_999 }), (second, micros) => {
      const iso = new Date(second * 1000).toISOString()
      const fraction = micros === 0 ? '' : `.${String(micros).padStart(6, '0').replace(/0+$/, '')}`
      const text = `${iso.slice(0, 10)} ${iso.slice(11, 19)}${fraction}`
      assert.is(roundTrip(column('timestamp'), text), text)
      assert.is(roundTrip(column('timestamptz'), `${text}+00`), `${text}+00`)
    }),
    { numRuns: 3000 },
  )
  for (const text of ['1900-01-01 00:00:00', '2299-12-31 23:59:59.999999', '1969-12-31 23:59:59.999999']) {
    assert.is(roundTrip(column('timestamp'), text), text)
  }
})

test('bytes, text, booleans and uuids arrive as they are', () => {
  const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString('hex')
  for (const text of ['\\x', '\\x00', `\\x${all}`]) assert.is(roundTrip(column('bytes'), text), text)
  for (const text of ['', '\ufffd', '💥 עברית e\u0301', '"\\ud800"', 'x'.repeat(100_000)]) {
    assert.is(roundTrip(column('string'), text), text)
  }
  for (const text of ['t', 'f']) assert.is(roundTrip(column('boolean'), text), text)
  const uuid = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'
  assert.is(roundTrip(column('uuid'), uuid), uuid)
})

test('values that ClickHouse cannot hold are refused with column and reason', () => {
  const decimal = column('decimal', { precision: 5, scale: 2 })
  for (const text of ['NaN', 'Infinity', '-Infinity']) assert.match(refusal(decimal, text).message, /neither NaN/)
  for (const text of ['infinity', '-infinity']) {
    assert.match(refusal(column('date'), text).message, /infinite/)
    assert.match(refusal(column('timestamptz'), text).message, /infinite/)
  }
  for (const text of ['4713-01-01 BC', '0001-01-01', '1899-12-31', '2300-01-01', '5874897-12-31']) {
    assert.match(refusal(column('date'), text).message, /Date32|begin with the year 1900/)
  }
  for (const text of ['4713-01-01 00:00:00 BC', '1899-12-31 23:59:59.999999', '294276-12-31 23:59:59.999999']) {
    assert.is(refusal(column('timestamp'), text).column, 'v')
  }
  assert.match(refusal(column('int', { nullable: false }), null).message, /NULL/)
})

test('an image above the limit is refused by its own size alone', () => {
  const table = tableOf(column('string'))
  const encoder = encoderOf(table, 1000)
  const fits = textRow(['1', 'x'.repeat(980)])
  encoder.encode({ ...change, op: 'u' }, fits, fits)
  for (const length of [1000, 2999, 4000, 1_000_000_0]) {
    try {
      encoder.encode(change, undefined, textRow(['1', 'x'.repeat(length)]))
      assert.unreachable()
    } catch (error) {
      assert.match((error as Error).message, /more than the 1000 that fit/)
    }
  }
  assert.ok(encoder.writer.buffer.length < 100_000)
})

test('a timestamptz in another zone than UTC is an internal error, not a refused value', () => {
  const encoder = encoderOf(tableOf(column('timestamptz')))
  assert.throws(
    () => encoder.encode(change, undefined, textRow(['5', '2024-01-01 00:00:00+02'])),
    (error: Error) => error instanceof TypeError,
  )
})

test.run()

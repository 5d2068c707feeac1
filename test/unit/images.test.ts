// test/unit/images.test: one image of an update as its own record.
// avsc reads the records.

import { imageRecord, imagesOf } from '../../consumer/records/images.ts'
import type { Slice } from '../../consumer/records/slice.ts'
import { AvroWriter } from '../../contract/avro-writer.ts'
import { Encoder } from '../../contract/encode.ts'
import { Envelope } from '../../contract/envelope.ts'
import type { Table } from '../../contract/table.ts'
import { textRow } from '../support/fixtures/text-row.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { createDecoder } from '../support/servers/decode.ts'

const test = suite('images')

const table: Table = {
  schema: 'public',
  name: 'items',
  columns: [
    { name: 'note', pgType: 'text', encoding: 'string', nullable: true },
    { name: 'id', pgType: 'integer', encoding: 'int', nullable: false },
  ],
  key: ['id'],
  partitionKey: ['id'],
}

test('each image of an update has its position and key, and is a recognized record', () => {
  const encoder = new Encoder({ table, keySchemaId: 1, valueSchemaId: 2, maxImageBytes: 1000 }, new AvroWriter())
  const change = { op: 'u', lsn: 77, ordinal: 4, txId: 1, commitTimeUs: 5, snapshot: false, madeAtMs: 6 } as const
  encoder.encode(change, textRow([null, '9']), textRow(['new', '9']))
  const { keyEnd, valueEnd } = encoder
  const records = {
    count: 1,
    buffer: Buffer.from(encoder.writer.buffer.subarray(0, valueEnd)),
    offsets: Float64Array.of(12),
    timestamps: Float64Array.of(0),
    keyStarts: Int32Array.of(0),
    keyEnds: Int32Array.of(keyEnd),
    valueStarts: Int32Array.of(keyEnd),
    valueEnds: Int32Array.of(valueEnd),
    nextOffset: 13,
  }
  const about = { topic: 't', partition: 0, start: 12, end: 13, truncate: false, lastPosition: { lsn: 77, ordinal: 4 } }
  const slice: Slice = { ...about, records, from: 0, to: 1, foreign: new Map() }
  const envelope = new Envelope(table, id => id === 2)
  assert.equal(imagesOf(slice, envelope), ['before', 'after'])
  for (const [image, op, before, after] of [
    ['before', 'd', { note: null, id: '9' }, null],
    ['after', 'c', null, { note: 'new', id: '9' }],
  ] as const) {
    const half = imageRecord(slice, image, envelope)
    assert.equal(imagesOf(half, envelope), [image])
    const { buffer, keyStarts, keyEnds, valueStarts, valueEnds, offsets } = half.records
    assert.is(envelope.read(buffer, keyStarts[0]!, keyEnds[0]!, valueStarts[0]!, valueEnds[0]!), undefined)
    const value = createDecoder(table).value(buffer.subarray(valueStarts[0], valueEnds[0]))
    assert.equal([value.op, value.lsn, value.ordinal, offsets[0]], [op, 77, 4, 12])
    assert.equal([value.before && { ...value.before }, value.after && { ...value.after }], [before, after])
  }
})

test.run()

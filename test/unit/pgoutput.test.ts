// test/unit/pgoutput: every message of the protocol, and messages that are refused.

import fc from 'fast-check'
import { PgoutputDecoder } from '../../postgres/protocol/pgoutput.ts'
import { MillraceError } from '../../runtime/errors.ts'
import * as bytes from '../support/fixtures/pgoutput-bytes.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { type Recorded, recordingHandler } from '../support/servers/recording-handler.ts'

const test = suite('pgoutput')

const orders = bytes.relation({
  oid: 16400,
  schema: 'public',
  table: 'orders',
  identity: 'f',
  columns: [
    { name: 'id', key: true, type: 23 },
    { name: 'Größe "x"', key: true, type: 1700, modifier: 655366 },
    { name: 'note', key: true },
  ],
})
const start = bytes.begin(0x1_6b37_48n, 1_000_000n, 700)

function decode(...messages: readonly Buffer[]): Recorded[] {
  const events: Recorded[] = []
  const decoder = new PgoutputDecoder(recordingHandler(event => events.push(event)))
  for (const message of messages) decoder.decode(message)
  return events
}

/** The last event of a transaction on `orders`. */
function decodeLast(...messages: readonly Buffer[]): Recorded {
  return decode(start, orders, ...messages).at(-1)!
}

test('begin and commit carry LSNs above 2^32, times since the Unix epoch and xids above 2^31', () => {
  const high = 0x12_0000_0000n
  const events = decode(
    bytes.begin(high, 86_400_000_001n, -2),
    bytes.commit(high, high + 0x30n, -1n),
    bytes.begin(high + 0x30n, 0n, 3),
  )
  assert.equal(events, [
    { kind: 'begin', commitLsn: Number(high), commitTimeUs: 946_771_200_000_001, xid: 4_294_967_294 },
    { kind: 'commit', commitLsn: Number(high), endLsn: Number(high) + 0x30, commitTimeUs: 946_684_799_999_999 },
    { kind: 'begin', commitLsn: Number(high) + 0x30, commitTimeUs: 946_684_800_000_000, xid: 3 },
  ])
})

test('a relation keeps names, identity, types and modifiers; the empty schema is pg_catalog', () => {
  assert.equal(decode(orders), [
    {
      kind: 'relation',
      relation: {
        oid: 16400,
        schema: 'public',
        name: 'orders',
        replicaIdentity: 'f',
        columns: [
          { name: 'id', inKey: true, typeOid: 23, typeModifier: -1 },
          { name: 'Größe "x"', inKey: true, typeOid: 1700, typeModifier: 655366 },
          { name: 'note', inKey: true, typeOid: 25, typeModifier: -1 },
        ],
      },
    },
  ])
  const [event] = decode(
    bytes.relation({ oid: -1, schema: '', table: 't', identity: 'd', columns: [{ name: 'a', type: -1 }] }),
  )
  assert.is(event?.kind, 'relation')
  if (event?.kind !== 'relation') return
  assert.is(event.relation.schema, 'pg_catalog')
  assert.is(event.relation.oid, 0xffff_ffff)
  assert.is(event.relation.columns[0]?.typeOid, 0xffff_ffff)
  assert.is(event.relation.columns[0]?.inKey, false)
})

test('an insert distinguishes NULL from the empty text', () => {
  assert.equal(decodeLast(bytes.insert(16400, ['1', null, ''])), {
    kind: 'insert',
    table: 'public.orders',
    after: ['1', null, ''],
  })
})

test('an update is decoded without old row, with the old key, and with the whole old row', () => {
  const plain = decodeLast(bytes.update(16400, '', [], ['1', '2', undefined]))
  assert.equal(plain, {
    kind: 'update',
    table: 'public.orders',
    before: undefined,
    keyOnly: false,
    after: ['1', '2', undefined],
  })
  const keyed = decodeLast(bytes.update(16400, 'K', ['1', null, null], ['2', '2', undefined]))
  assert.equal(keyed, {
    kind: 'update',
    table: 'public.orders',
    before: ['1', null, null],
    keyOnly: true,
    after: ['2', '2', undefined],
  })
  const whole = decodeLast(bytes.update(16400, 'O', ['1', '2', 'long'], ['1', '3', undefined]))
  assert.equal(whole, {
    kind: 'update',
    table: 'public.orders',
    before: ['1', '2', 'long'],
    keyOnly: false,
    after: ['1', '3', 'long'],
  })
})

test('a value that was not sent never becomes the NULL of an old row that lacks its values', () => {
  const event = decodeLast(bytes.update(16400, 'O', ['1', null, null], ['2', '3', undefined]))
  assert.is(event.kind === 'update' && event.after[2], undefined)
})

test('a delete is decoded by key and by whole row', () => {
  assert.equal(decodeLast(bytes.remove(16400, 'K', ['1', null, null])), {
    kind: 'delete',
    table: 'public.orders',
    before: ['1', null, null],
    keyOnly: true,
  })
  assert.equal(decodeLast(bytes.remove(16400, 'O', ['1', '2', '3'])), {
    kind: 'delete',
    table: 'public.orders',
    before: ['1', '2', '3'],
    keyOnly: false,
  })
})

test('a truncate names all its tables and its options', () => {
  const items = bytes.relation({ oid: 7, schema: 's', table: 'items', identity: 'd', columns: [{ name: 'a' }] })
  assert.equal(decodeLast(items, bytes.truncate(3, [16400, 7])), {
    kind: 'truncate',
    tables: ['public.orders', 's.items'],
    cascade: true,
    restart: true,
  })
})

test('messages come inside and outside transactions; origins and types are skipped', () => {
  const content = Buffer.from('beat')
  const origin = Buffer.concat([bytes.ascii('O'), bytes.int64(5n), bytes.name('node')])
  const type = Buffer.concat([bytes.ascii('Y'), bytes.int32(9), bytes.name('s'), bytes.name('mood')])
  assert.equal(decode(bytes.logicalMessage(0, 16n, 'millrace', content)), [
    { kind: 'message', lsn: 16, transactional: false, prefix: 'millrace', content: 'beat' },
  ])
  assert.is(decode(start, origin, type, bytes.logicalMessage(1, 16n, 'p', content)).length, 2)
})

const refused: Record<string, readonly Buffer[]> = {
  'an empty message': [Buffer.alloc(0)],
  'an unknown kind': [Buffer.from('Z')],
  'a streamed transaction of protocol 2': [Buffer.concat([bytes.ascii('S'), bytes.int32(1), bytes.int8(1)])],
  'an LSN beyond 2^53': [bytes.begin(1n << 53n, 0n, 1)],
  'a truncated begin': [start.subarray(0, 12)],
  'bytes after a begin': [Buffer.concat([start, bytes.int8(0)])],
  'a begin inside a transaction': [start, start],
  'a commit without a begin': [bytes.commit(1n, 2n, 0n)],
  'an unknown identity': [bytes.relation({ oid: 1, schema: 's', table: 't', identity: 'x', columns: [] })],
  'a row of an unknown table': [start, bytes.insert(1, ['1'])],
  'a row outside a transaction': [orders, bytes.insert(16400, ['1', '2', '3'])],
  'a row with too few columns': [start, orders, bytes.insert(16400, ['1', '2'])],
  'a row with too many columns': [start, orders, bytes.insert(16400, ['1', '2', '3', '4'])],
  'a binary value': [
    start,
    orders,
    Buffer.concat([bytes.ascii('I'), bytes.int32(16400), bytes.ascii('N'), bytes.int16(3), bytes.ascii('bbb')]),
  ],
  'a negative length': [
    start,
    orders,
    Buffer.concat([
      ...[bytes.ascii('I'), bytes.int32(16400), bytes.ascii('N'), bytes.int16(3)],
      ...[bytes.ascii('t'), bytes.int32(-5), bytes.ascii('nn')],
    ]),
  ],
  'a length beyond the message': [
    start,
    orders,
    Buffer.concat([
      ...[bytes.ascii('I'), bytes.int32(16400), bytes.ascii('N'), bytes.int16(3)],
      ...[bytes.ascii('t'), bytes.int32(0x7fff_ffff), bytes.ascii('nn')],
    ]),
  ],
  'a truncate of an unknown table': [start, orders, bytes.truncate(0, [16400, 1])],
  'a truncate that announces four billion tables': [
    start,
    Buffer.concat([bytes.ascii('T'), bytes.int32(-1), bytes.int8(0)]),
  ],
  'a transactional message outside a transaction': [bytes.logicalMessage(1, 1n, 'p', Buffer.alloc(0))],
}

for (const [title, messages] of Object.entries(refused)) {
  test(`${title} is refused and reaches no handler`, async () => {
    const last = messages.at(-1)!
    const events: Recorded[] = []
    const decoder = new PgoutputDecoder(recordingHandler(event => events.push(event)))
    for (const message of messages.slice(0, -1)) decoder.decode(message)
    const before = events.length
    await assert.refuses(() => decoder.decode(last), 'STREAM_CORRUPT')
    assert.is(events.length, before)
  })
}

test('errors of the handler pass through unchanged', () => {
  const decoder = new PgoutputDecoder({
    ...recordingHandler(() => {}),
    begin() {
      throw new RangeError('mine')
    },
  })
  assert.throws(
    () => decoder.decode(start),
    (error: unknown) => error instanceof RangeError,
  )
})

const valid: readonly Buffer[] = [
  start,
  orders,
  bytes.insert(16400, ['1', null, 'ü💥']),
  bytes.update(16400, 'O', ['1', '2', 'long'], ['1', '3', undefined]),
  bytes.update(16400, 'K', ['1', null, null], ['2', '2', 'x']),
  bytes.remove(16400, 'O', ['1', '2', '3']),
  bytes.truncate(1, [16400]),
  bytes.logicalMessage(1, 77n, 'prefix', Buffer.from('content')),
  bytes.commit(0x1_6b37_48n, 0x1_6b37_78n, 5n),
]

test('cut, flipped and random bytes are decoded or refused, never anything else', () => {
  const damaged = fc.record({
    index: fc.nat(valid.length - 1),
    cut: fc.option(fc.nat(80)),
    flips: fc.array(fc.tuple(fc.nat(200), fc.integer({ min: 1, max: 255 })), { maxLength: 6 }),
    tail: fc.uint8Array({ maxLength: 8 }),
  })
  fc.assert(
    fc.property(damaged, ({ index, cut, flips, tail }) => {
      const message = Buffer.concat([valid[index]!.subarray(0, cut ?? undefined), tail])
      for (const [at, mask] of flips) if (at < message.length) message[at]! ^= mask
      const decoder = new PgoutputDecoder(recordingHandler(() => {}))
      try {
        for (const healthy of valid.slice(0, index)) decoder.decode(healthy)
        decoder.decode(message)
      } catch (error) {
        return error instanceof MillraceError && error.code === 'STREAM_CORRUPT'
      }
      return true
    }),
    { numRuns: 20_000 },
  )
})

test.run()

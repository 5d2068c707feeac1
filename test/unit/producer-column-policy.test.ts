// test/unit/producer-column-policy: which part of a row is sent: against other implementations of
// masking and hashing, through the router, and with added and dropped columns.

import { createHmac } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import fc from 'fast-check'
import { columnKinds } from '../../contract/bytes.ts'
import type { TextRow } from '../../contract/encode.ts'
import { parseValueSchema, valueSchema } from '../../contract/schema.ts'
import { hashOf, maskOf, RowMasker } from '../../producer/capture/column-policy.ts'
import { loadConfig } from '../../runtime/config/config.ts'
import { createHashKey, hashKeyPath, loadHashKey } from '../../runtime/config/hash-key.ts'
import { guarded, openPipe, relation, tuple } from '../support/fixtures/router-pipe.ts'
import { textRow } from '../support/fixtures/text-row.ts'
import { writeFixture } from '../support/harness/program.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('producer-column-policy')
const hashKey = createHashKey('k1', 'x'.repeat(32))

function values({ buffer, count, kinds, starts, ends }: TextRow): (string | null)[] {
  return Array.from({ length: count }, (_, at) =>
    kinds[at] === columnKinds.null ? null : buffer.toString('utf8', starts[at], ends[at]),
  )
}

test('a mask leaves the first character of each word and the white space between them', () => {
  const mask = (text: string) => maskOf(Buffer.from(text)).toString()
  assert.is(mask('Ada  Lovelace-King'), 'A***  L***')
  assert.is(mask(' élise 李小龍\t𝕏y\n'), ' é*** 李***\t𝕏***\n')
  assert.is(mask(mask('Ada Lovelace')), 'A*** L***')
  assert.is(mask(''), '')
  const word = /([^\t\n\v\f\r ])[^\t\n\v\f\r ]*/gu
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('a', 'é', '李', '𝕏', ' ', '\n', '\u00a0', '*') }), text => {
      assert.is(mask(text), text.replace(word, '$1***'))
    }),
  )
})

test('a hash is the HMAC of the text, with the name of its key as a prefix', () => {
  const expected = createHmac('sha256', 'x'.repeat(32)).update('ü').digest('hex')
  assert.is(hashOf(hashKey, Buffer.from('ü')), `k1:${expected}`)
})

test('columns are selected by place, masked, hashed or dropped; the two images do not share a buffer', () => {
  const masker = new RowMasker({ sourceIndexes: [3, 0, 1], policies: ['keep', 'mask', 'hash'], hashKey })
  const hashed = (text: string) => hashOf(hashKey, Buffer.from(text))
  fc.assert(
    fc.property(fc.array(fc.option(fc.string({ unit: 'grapheme' })), { minLength: 4, maxLength: 4 }), row => {
      const [name, secret, , kept] = row
      const before = masker.before(textRow(row))
      const expected = [kept, name && maskOf(Buffer.from(name)).toString(), secret === null ? null : hashed(secret!)]
      masker.after(textRow(['Other', 'other', null, 'other']))
      assert.equal(values(before), expected)
    }),
  )
  assert.equal(values(masker.after(textRow([null, null, 'x', null]))), [null, null, null])
  const long = 'a '.repeat(100_000)
  assert.equal(values(masker.after(textRow([long, null, null, long]))), [long, 'a*** '.repeat(100_000), null])
})

test('the router sees only sent values, also in refused rows', async () => {
  const { router, records, deadLetters } = openPipe({ onError: 'dead-letter', guard: guarded })
  router.begin(100, 5_000, 77)
  router.insert(relation, tuple('1', '9', '1.00', 'Secret Name'))
  router.update(relation, tuple('1', '9', '1.00', 'Secret Name'), false, tuple('1', '9', 'NaN', 'Secret Other'))
  const row = (price: string) => ['1', '9', price, 'S*** N***']
  assert.equal(
    records().map(([op, , , , before, after]) => [op, before, after]),
    [
      ['c', null, row('1.00')],
      ['d', row('1.00'), null],
    ],
  )
  const [deadLetter] = deadLetters()
  assert.equal(deadLetter!.change!.row, { id: '1', order: '9', price: 'NaN', note: 'S*** O***' })
  assert.not.match(JSON.stringify(deadLetter), /Secret/)
  const stopping = openPipe({ guard: guarded })
  stopping.router.begin(100, 5_000, 77)
  const error = await assert.refuses(
    () => stopping.router.insert(relation, tuple('1', '9', 'NaN', 'Secret')),
    'VALUE_REFUSED',
  )
  assert.match(error.message, /^column price holds a value that cannot be represented/)
})

test('an update of dropped columns only gives no record; an update of any other column does', () => {
  const { router, records } = openPipe({ guard: guarded })
  router.begin(100, 5_000, 77)
  router.update(relation, tuple('1', '9', null, 'Secret Name'), false, tuple('1', '9', null, 'Sesame Noon'))
  router.update(relation, tuple('1', '9', null, 'Secret'), false, tuple('1', '9', '2.00', 'Secret'))
  router.update(relation, tuple('1', '9', null, null), false, tuple('1', '9', null, ''))
  router.update(relation, tuple('1', '9', null, 'ab'), false, tuple('1', '9', null, 'ab'))
  assert.equal(
    records().map(([op]) => op),
    ['u', 'u'],
  )
})

test('a new column of a personal table is not sent, at any place; a sent column may be neither dropped nor changed', async () => {
  const withheld: unknown[] = []
  const { router, records } = openPipe({ guard: guarded, onWithheld: (...news) => void withheld.push(news) })
  const [id, order, price, note] = relation.columns
  const secret = { name: 'secret', typeOid: 25, typeModifier: -1, inKey: true }
  const wider = { ...relation, columns: [secret, note!, id!, order!, price!, { ...secret, name: 'other' }] }
  router.relation(wider)
  assert.equal(withheld, [['public.items', ['secret', 'other']]])
  router.begin(100, 5_000, 77)
  router.insert(wider, tuple('hidden', 'Ada', '1', '9', '2.00', 'hidden'))
  assert.equal(records()[0]!.at(-1), ['1', '9', '2.00', 'A***'])
  const without = { ...relation, columns: [id!, order!, price!] }
  await assert.refuses(() => router.relation(without), 'SCHEMA_CHANGED', /column note is gone/)
  const other = { ...relation, columns: [id!, order!, { ...price!, typeOid: 1 }, note!] }
  await assert.refuses(() => router.relation(other), 'SCHEMA_CHANGED', /column price has another type/)
  const plain = openPipe({ guard: { ...guarded, personal: false } })
  await assert.refuses(() => plain.router.relation(wider), 'SCHEMA_CHANGED', /column secret is new/)
})

test('the schema has the policy of each column and the name of its hash key', () => {
  const name = { name: 'n', pgType: 'date', encoding: 'string', nullable: true } as const
  const columns = [
    { ...name, name: 'id', nullable: false },
    { ...name, policy: 'hash' as const },
  ]
  const table = { schema: 's', name: 't', columns, key: ['id'], partitionKey: ['id'], hashKey: hashKey.name }
  assert.equal(parseValueSchema(JSON.stringify(valueSchema(table))), table)
})

test('a hash key is created once, readable for its owner only, unless one is configured, and only if a column is hashed', async () => {
  const cwd = writeFixture({})
  const load = (env: Record<string, string> = {}) => loadConfig({ env, cwd })
  await assert.refuses(() => loadHashKey(load(), { make: false }), 'HASH_KEY', /cannot be read/)
  const first = loadHashKey(load(), { make: true })
  assert.is(loadHashKey(load(), { make: true }).name, first.name)
  const path = hashKeyPath(load().directory, 'k1')
  assert.is(statSync(path).mode & 0o777, 0o600)
  assert.match(readFileSync(path, 'utf8'), /^[0-9a-f]{64}\n$/)
  const given = loadHashKey(load({ MILLRACE_HASH_KEY: 'x'.repeat(32) }), { make: true })
  assert.is(given.name, hashKey.name)
  assert.is.not(given.name, first.name)
})

test.run()

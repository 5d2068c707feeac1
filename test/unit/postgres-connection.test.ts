// test/unit/postgres-connection: what is sent before and beside the changes, and the meaning of
// errors.

import pg from 'pg'
import { clientConfig, connect, describeUrl } from '../../postgres/client/client.ts'
import { postgresError, streamError } from '../../postgres/client/errors.ts'
import { standbyStatus } from '../../postgres/protocol/standby-status.ts'
import { startCommand } from '../../postgres/replication/stream-start.ts'
import { postgresEndpoint } from '../../runtime/config/insecure.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('postgres connection')

test('the standby status carries the LSN exactly, three times', () => {
  const lsn = 0x12_ffff_ffff
  const status = standbyStatus(lsn, true, 946_684_800_000 + 5_000_000)
  assert.is(status.length, 34)
  assert.is(status[0], 'r'.charCodeAt(0))
  for (const at of [1, 9, 17]) assert.is(status.readBigUInt64BE(at), BigInt(lsn))
  assert.is(status.readBigUInt64BE(25), 5_000_000_000n)
  assert.is(status[33], 1)
  assert.is(standbyStatus(0, false)[33], 0)
})

test('settings of the address stay, and those of millrace come after them', () => {
  const { connectionString = '' } = clientConfig(
    'postgres://u:p%40ss%23@h:1/db?options=-c%20geqo%3Doff&sslmode=verify-full',
  )
  const address = new URL(connectionString)
  assert.is(address.password, 'p%40ss%23')
  assert.is(address.searchParams.get('sslmode'), 'verify-full')
  assert.match(address.searchParams.get('options') ?? '', /^-c geqo=off -c datestyle=ISO .*-c search_path= /)
})

test('an invalid address is refused without being repeated, and a valid one is shown without its password', async () => {
  const error = await assert.refuses(() => clientConfig('postgres://u:secret@h:port/db'), 'CONFIG_INVALID')
  assert.not.match(error.toText(), /secret/)
  assert.is(describeUrl('postgres://u:secret@h:5432/db?x=secret'), 'postgres://h:5432/db')
})

test('the security of an address, judged before a connection, agrees with the driver', () => {
  const modes = ['', 'disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify']
  const parameters = ['', 'ssl=true', 'ssl=1', 'ssl=0', 'ssl=no-verify', 'sslnegotiation=direct']
  for (const mode of modes.slice(1)) parameters.push(`sslmode=${mode}`, `sslmode=${mode}&ssl=0`)
  for (const mode of modes.slice(1)) parameters.push(`sslmode=${mode}&uselibpqcompat=true&sslnegotiation=postgres`)
  const before = process.env.PGSSLMODE
  let compared = 0
  for (const fromEnvironment of modes) {
    for (const parameter of parameters) {
      const url = `postgres://db.example/x?${parameter}`
      if (parameter.includes('sslmode=verify-ca&uselibpqcompat')) continue
      process.env.PGSSLMODE = fromEnvironment
      const { host, ssl } = new pg.Client(clientConfig(url)) as unknown as { host: string; ssl: unknown }
      const isVerified = !(ssl instanceof Object && ('rejectUnauthorized' in ssl || 'checkServerIdentity' in ssl))
      const exposure = ssl === false ? 'plain' : isVerified ? undefined : 'unverified'
      assert.equal(
        postgresEndpoint(url, { PGSSLMODE: fromEnvironment }),
        { host, exposure },
        `${fromEnvironment} ${parameter}`,
      )
      compared += 1
    }
  }
  if (before === undefined) delete process.env.PGSSLMODE
  else process.env.PGSSLMODE = before
  assert.ok(compared > 150, `${compared}`)
})

test('parameters that the driver refuses, and missing files, are configuration errors', async () => {
  for (const query of [
    'sslmode=verify-ca&uselibpqcompat=true',
    'sslnegotiation=quick',
    'sslmode=disable&sslnegotiation=direct',
  ])
    await assert.refuses(
      () => clientConfig(`postgres://h/db?${query}`),
      'CONFIG_INVALID',
      /the address of Postgres cannot be used/,
    )
  await assert.refuses(
    () => connect('postgres://h/db?sslmode=verify-full&sslrootcert=/nowhere.pem'),
    'CONFIG_INVALID',
    /\/nowhere\.pem cannot be read/,
  )
})

test('names are quoted in the command that starts a stream', () => {
  assert.is(
    startCommand('my_slot', `a"b'c`),
    `START_REPLICATION SLOT "my_slot" LOGICAL 0/0 (proto_version '1', publication_names '"a""b''c"', messages 'true')`,
  )
})

const serverError = (code: string) => Object.assign(new Error('it says'), { code, severity: 'ERROR' })
const systemError = (code: string) => Object.assign(new Error('it says'), { code })

const meanings: readonly (readonly [Error, string, boolean])[] = [
  [systemError('ECONNREFUSED'), 'POSTGRES_UNREACHABLE', true],
  [systemError('EPIPE'), 'POSTGRES_UNREACHABLE', true],
  [new Error('Connection terminated unexpectedly'), 'POSTGRES_UNREACHABLE', true],
  [serverError('57P01'), 'POSTGRES_UNREACHABLE', true],
  [serverError('08006'), 'POSTGRES_UNREACHABLE', true],
  [serverError('57P03'), 'POSTGRES_UNREACHABLE', true],
  [serverError('57014'), 'POSTGRES_BUSY', true],
  [serverError('58030'), 'POSTGRES_BUSY', true],
  [serverError('58P01'), 'POSTGRES_FAILED', false],
  [serverError('25006'), 'POSTGRES_READ_ONLY', true],
  [serverError('53300'), 'POSTGRES_BUSY', true],
  [serverError('40001'), 'POSTGRES_BUSY', true],
  [serverError('28P01'), 'POSTGRES_DENIED', false],
  [serverError('42501'), 'POSTGRES_DENIED', false],
  [systemError('DEPTH_ZERO_SELF_SIGNED_CERT'), 'POSTGRES_DENIED', false],
  [serverError('55006'), 'SLOT_ACTIVE', true],
  [serverError('42P01'), 'POSTGRES_FAILED', false],
]

for (const [cause, code, retriable] of meanings) {
  test(`${'code' in cause ? cause.code : cause.message} is ${code}`, () => {
    const error = postgresError(cause, 'a statement')
    assert.is(error.code, code)
    assert.is(error.retriable, retriable)
    assert.is(error.cause, cause)
  })
}

test('errors during the decoding of a slot are retried; other errors mean the same as elsewhere', () => {
  const inside = streamError(serverError('XX000'), 's')
  assert.equal([inside.code, inside.retriable, inside.where], ['DECODING_FAILED', true, 'slot s'])
  assert.is(streamError(serverError('XX001'), 's').code, 'POSTGRES_FAILED')
  assert.is(streamError(serverError('57P01'), 's').code, 'POSTGRES_UNREACHABLE')
})

test('no error message contains a value of a row', () => {
  const of = (code: string, message: string, detail: string) =>
    postgresError(Object.assign(new Error(message), { code, severity: 'ERROR', detail }), 'COPY').toText()
  assert.not.match(
    of('23505', 'duplicate key value violates unique constraint "t_pkey"', 'Key (id)=(4242) already exists.'),
    /4242/,
  )
  assert.not.match(of('23502', 'null value in column "a"', 'Failing row contains (4242, null).'), /4242/)
  assert.not.match(of('44000', 'new row violates check option for view "v"', 'Failing row contains (4242).'), /4242/)
  assert.not.match(of('P0001', 'refused', 'row 4242'), /4242/)
  assert.match(of('22P02', 'invalid input syntax for type integer: "42"42"', ''), /type integer: "…"/)
  assert.not.match(of('22003', 'value "4242\n4242" is out of range for type integer', ''), /4242/)
  assert.match(
    of('55000', 'cannot copy from slot', 'This slot has been invalidated.'),
    /\(This slot has been invalidated\.\)/,
  )
})

test('errors of millrace pass through, and all addresses are named when all of them failed', () => {
  const ours = new MillraceError('SLOT_LOST', { what: 'x', next: 'y' })
  assert.is(postgresError(ours, ''), ours)
  const failed = new AggregateError([new Error('first'), new Error('second')])
  assert.match(postgresError(failed, '').message, /first.*second/)
})

test.run()

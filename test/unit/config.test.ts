// test/unit/config.test: the meaning of a configuration, the places of its faults, and that secrets
// stay secret.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { loadConfig, tableOptions } from '../../runtime/config/config.ts'
import { redactConfig, redactUrl } from '../../runtime/config/redact.ts'
import { configJsonSchema, settings } from '../../runtime/config/settings.ts'
import { load, refusal } from '../support/fixtures/config-text.ts'
import { writeFixture } from '../support/harness/program.ts'
import { projectRoot } from '../support/harness/root.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { makeCertificate } from '../support/servers/certificate.ts'

const test = suite('config')

test('without a file all defaults apply', () => {
  const { cwd, config } = load(undefined)
  assert.is(config.name, 'millrace')
  assert.is(config.directory, join(cwd, '.millrace'))
  assert.is(config.source.url, undefined)
  assert.is(config.kafka.retentionMs, -1)
  assert.equal(config.tables, { 'public.*': { onError: 'stop', history: false, text: [] } })
})

test('a section with only comments is the same as no section', () => {
  assert.is(load('source:\n  # url: x\nkafka:\nmodel:\n').config.source.readers, 4)
  assert.equal(load('tables:\n  shop.orders:\n').config.tables, {
    'shop.orders': { onError: 'stop', history: false, text: [] },
  })
  assert.is(load('').config.name, 'millrace')
})

test('flags override the environment, which overrides the file, which overrides defaults', () => {
  const yaml = 'source: { readers: 2, heartbeatSeconds: 3 }\nkafka: { partitions: 5 }\n'
  const env = { MILLRACE_SOURCE_READERS: '6', MILLRACE_KAFKA_PARTITIONS: '7' }
  const { config } = load(yaml, { env, flags: { 'source.readers': '8' } })
  assert.is(config.source.readers, 8)
  assert.is(config.kafka.partitions, 7)
  assert.is(config.source.heartbeatSeconds, 3)
  assert.is(config.kafka.replication, 1)
})

test('every setting can be given by its environment variable', () => {
  const env = {
    MILLRACE_SOURCE_URL: 'postgres://u:p@h/db?sslmode=verify-full',
    MILLRACE_KAFKA_BROKERS: 'a:1, b:2',
    MILLRACE_KAFKA_TLS: 'true',
    MILLRACE_KAFKA_SASL_MECHANISM: 'scram-sha-512',
    MILLRACE_KAFKA_SASL_USERNAME: 'u',
    MILLRACE_KAFKA_SASL_PASSWORD: '12',
    MILLRACE_KAFKA_MAX_RECORD_BYTES: '2048',
    MILLRACE_REPORT_TIME_ZONE: 'Europe/Berlin',
    MILLRACE_MODEL: 'model',
  }
  const { cwd, config } = load(undefined, { env })
  assert.equal(config.kafka.brokers, ['a:1', 'b:2'])
  assert.is(config.kafka.tls, true)
  assert.is(config.kafka.sasl?.password, '12')
  assert.is(config.kafka.maxRecordBytes, 2048)
  assert.is(config.model, join(cwd, 'model'))
  const names = settings.map(({ variable }) => variable)
  assert.is(new Set(names).size, names.length)
  assert.ok(names.includes('MILLRACE_KAFKA_TLS_CA'))
})

test('an empty variable is the same as none, and variables of container platforms are ignored', () => {
  const env = { MILLRACE_SOURCE_URL: '', MILLRACE_SERVICE_HOST: '10.0.0.1', MILLRACE_PORT_80_TCP_ADDR: '10.0.0.1' }
  assert.is(load(undefined, { env }).config.source.url, undefined)
})

test('an unknown MILLRACE_ variable is refused with a suggestion', () => {
  const text = refusal(undefined, { env: { MILLRACE_SORCE_URL: 'postgres://u:hush@h/db' } })
  assert.match(text, 'MILLRACE_SORCE_URL is no setting. Did you mean "MILLRACE_SOURCE_URL"?')
  assert.not.match(text, /hush/)
})

test('variables in the file are replaced and get the type of their setting', () => {
  const yaml = [
    'source: { url: "${DSN}", readers: "${READERS:-9}", insecure: true }',
    'kafka:',
    '  partitions: ${PARTITIONS:-3}',
    '  tls: ${TLS}',
    '  brokers: ["${HOST:-h}:1"]',
    'clickhouse: { password: ${PASSWORD}, user: "$${literal}" }',
  ].join('\n')
  const { config } = load(yaml.replaceAll(': ${PASSWORD}', ': "${PASSWORD}"'), {
    env: { DSN: 'postgres://h/db', TLS: 'true', PASSWORD: '007', HOST: '' },
  })
  assert.is(config.source.readers, 9)
  assert.is(config.kafka.partitions, 3)
  assert.equal(config.kafka.brokers, ['h:1'])
  assert.is(config.kafka.tls, true)
  assert.is(config.clickhouse.password, '007')
  assert.is(config.clickhouse.user, '${literal}')
})

test('a value from a variable is never read as YAML', () => {
  const { config } = load('clickhouse:\n  password: ${P}\n', { env: { P: 'a: [b, #c' } })
  assert.is(config.clickhouse.password, 'a: [b, #c')
})

test('a missing or malformed variable is named with its place', () => {
  assert.match(refusal('name: x\nsource:\n  url: ${DSN}\n'), /variable DSN is not set\n {2}where: millrace\.yaml:3:8/)
  assert.match(refusal('name: ${1x}\n'), '"${1x}" is no variable')
})

test('each fault has line, column, key and a suggestion, all of them at once', () => {
  const text = refusal(
    [
      'name: Shop', // 1
      'source:',
      '  slto: 1',
      '  readers: 0', // 4
      'kafka:',
      '  compression: gzp',
      '  brokers: [a:1, nope]', // 7
      '  tls: maybe',
      '  sasl: { mechanism: plain }',
      'tables:', // 10
      '  orders: {}',
      '  public.items: { partitonKey: [a] }',
      'reportTimeZone: Mars/Base',
      'log: 5', // 14
      'modle: x',
    ].join('\n'),
    { env: { MILLRACE_HTTP_PRODUCER_PORT: 'x' }, flags: { 'log.level': 'loud' } },
  )
  const expected = [
    'millrace.yaml:1:7 name: must be 1 to 31 of a-z',
    'millrace.yaml:3:3 source.slto: is no setting. Known here: url, insecure, publication, readers, heartbeatSeconds.',
    'millrace.yaml:4:12 source.readers: must be at least 1',
    'millrace.yaml:6:16 kafka.compression: must be one of none, gzip. Did you mean "gzip"?',
    'millrace.yaml:7:18 kafka.brokers.1: is no address such as host:9092',
    'millrace.yaml:8:8 kafka.tls: must be true, false or files: { ca: FILE, cert: FILE, key: FILE }',
    'millrace.yaml:9:9 kafka.sasl.username: is missing',
    'millrace.yaml:11:3 tables.orders: is no table: write schema.table',
    'millrace.yaml:12:19 tables.public.items.partitonKey: is no setting. Did you mean "partitionKey"?',
    'millrace.yaml:13:17 reportTimeZone: is no time zone',
    'millrace.yaml:15:1 modle: is no setting. Did you mean "model"?',
    'environment MILLRACE_HTTP_PRODUCER_PORT http.producerPort: must be a number, but is text',
    'command line log.level: must be one of debug, info, warn, error.',
  ]
  for (const line of expected) assert.ok(text.includes(line), `missing: ${line}\n${text}`)
})

test('a key of an earlier version is refused with its new name and value', () => {
  const yaml = (entry: string) => ['tables:', '  public.items:', `    ${entry}`].join('\n')
  const text = refusal(yaml('onRefusal: divert'))
  assert.match(
    text,
    'millrace.yaml:3:5 tables.public.items.onRefusal: is called onError now. Write onError: stop, or onError: dead-letter instead of onRefusal: divert',
  )
  assert.match(refusal(yaml('onError: divert')), 'tables.public.items.onError: must be one of stop, dead-letter.')
})

test('broken YAML, doubled keys and a file that holds no settings are refused with their place', () => {
  assert.match(refusal('name: [a\n'), /no valid YAML.*\n {2}where: millrace\.yaml:2:1/)
  assert.match(refusal('name: a\nname: b\n'), /unique.*\n {2}where: millrace\.yaml:2:1/)
  assert.match(refusal('- a\n'), /must hold settings/)
  assert.match(refusal('tables: {}\n'), /tables: captures nothing/)
  assert.match(refusal(undefined, { file: 'other.yaml' }), /no such configuration file/)
  assert.match(refusal('source: { url: "mysql://u:hush@h/db" }'), /source\.url: is no address such as postgres/)
  assert.not.match(refusal('source: { url: "mysql://u:hush@h/db" }'), /hush/)
})

test('relative paths count from the directory of the file that contains them', () => {
  const cwd = writeFixture({ 'etc/m.yaml': 'model: sql\nkafka: { tls: { ca: ca-certificate.pem } }\n' })
  makeCertificate(join(cwd, 'etc'), 'ca')
  const config = loadConfig({ file: 'etc/m.yaml', flags: { directory: 'data' }, env: {}, cwd })
  assert.is(config.model, join(cwd, 'etc/sql'))
  assert.equal(config.kafka.tls, { ca: join(cwd, 'etc/ca-certificate.pem') })
  assert.is(config.directory, join(cwd, 'data'))
  assert.is(loadConfig({ env: { MILLRACE_CONFIG: 'etc/m.yaml' }, cwd }).directory, join(cwd, 'etc/.millrace'))
})

test('secrets are refused as arguments', () => {
  assert.match(refusal(undefined, { flags: { 'clickhouse.password': 'hush' } }), /MILLRACE_CLICKHOUSE_PASSWORD/)
  const text = refusal(undefined, { flags: { 'source.url': 'postgres://u:hush@h/db' } })
  assert.match(text, /MILLRACE_SOURCE_URL/)
  assert.not.match(text, /hush/)
  assert.is(
    load(undefined, { flags: { 'source.url': 'postgres://u@localhost/db' } }).config.source.url,
    'postgres://u@localhost/db',
  )
})

test('no secret is left in a redacted configuration or address', () => {
  const env = {
    MILLRACE_SOURCE_URL: 'postgres://u:hush@h/db?sslpassword=hush&sslmode=require',
    MILLRACE_CLICKHOUSE_URL: 'https://u:hush@h:8443',
    MILLRACE_CLICKHOUSE_PASSWORD: 'hush',
    MILLRACE_KAFKA_REGISTRY: 'https://u:hush@r',
    MILLRACE_KAFKA_SASL_MECHANISM: 'plain',
    MILLRACE_KAFKA_SASL_USERNAME: 'u',
    MILLRACE_KAFKA_SASL_PASSWORD: 'hush',
  }
  const { config } = load(undefined, { env })
  assert.not.match(inspect(redactConfig(config), { depth: 9 }), /hush/)
  assert.match(inspect(redactConfig(config)), /sslmode=require/)
  assert.is(config.clickhouse.password, 'hush')
  assert.is(redactUrl('postgres://u:hu sh@no host/db'), 'postgres://***@no host/db')
})

test('an unclassified column of a personal table is an error', () => {
  const columns = 'tables:\n  s.t:\n    columns:\n      name: mask\n'
  assert.equal(load(columns).config.tables['s.t']!.columns, { name: 'mask' })
  assert.match(
    refusal(`${columns}      phone:\n`),
    /5:13 tables.s.t.columns.phone: must be one of keep, drop, mask, hash/,
  )
  assert.match(refusal(`${columns}      phone: hidden\n`), /5:14 tables.s.t.columns.phone: must be one of/)
  assert.match(refusal('hash: { key: short }'), /hash.key: must be at least 32/)
})

test('the most specific table entry applies', () => {
  const tables = {
    '*.*': { group: 'all' },
    'public.*': { group: 'p' },
    'public.order*': { group: 'o' },
    'public.orders': { text: ['a'] },
  }
  const { config } = load(JSON.stringify({ tables, kafka: { partitions: 6 } }))
  const group = (schema: string, table: string) => tableOptions(config, schema, table)?.group
  assert.is(group('x', 'y'), 'all')
  assert.is(group('public', 'y'), 'p')
  assert.is(group('public', 'order_items'), 'o')
  assert.is(group('public', 'orders'), undefined)
  assert.equal(tableOptions(config, 'public', 'orders'), {
    partitionKey: undefined,
    group: undefined,
    onError: 'stop',
    history: false,
    text: ['a'],
    partitions: 6,
    personal: false,
    columns: {},
  })
})

test('a table is excluded by its own entry, or by a narrower pattern', () => {
  const tables = {
    'public.*': {},
    'public.tmp_*': { capture: false },
    'public.tmp_kept': {},
    'public.log': { capture: false },
  }
  const { config } = load(JSON.stringify({ tables }))
  const captured = ['orders', 'log', 'tmp_a', 'tmp_kept'].filter(name => tableOptions(config, 'public', name))
  assert.equal(captured, ['orders', 'tmp_kept'])
  assert.match(refusal('tables: { public.log: { capture: false } }\n'), /tables: captures nothing/)
})

test('a pattern is literal except for its stars, and a table without a match is not captured', () => {
  const { config } = load(JSON.stringify({ tables: { 'public.a.b': {}, 'public.(x*': {}, 'Ünï.t ä*': {} } }))
  assert.is(tableOptions(config, 'public', 'a_b'), undefined)
  assert.ok(tableOptions(config, 'public', '(xy\nz'))
  assert.ok(tableOptions(config, 'Ünï', 't äö'))
  assert.is(tableOptions(config, 'other', 't'), undefined)
})

test('the published JSON Schema is up to date', () => {
  const published = readFileSync(join(projectRoot, 'millrace.schema.json'), 'utf8')
  assert.is(published, `${JSON.stringify(configJsonSchema(), null, 2)}\n`, 'run: npm run docs')
})

test.run()

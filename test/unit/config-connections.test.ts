// test/unit/config-connections.test: certificate files of a configuration, and insecure
// connections.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig } from '../../runtime/config/config.ts'
import { readTlsFiles } from '../../runtime/config/tls-files.ts'
import type { MillraceError } from '../../runtime/errors.ts'
import { load, refusal } from '../support/fixtures/config-text.ts'
import { writeFixture } from '../support/harness/program.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { makeCertificate } from '../support/servers/certificate.ts'

const test = suite('config connections')

test('certificate files are checked, and each fault is named with its place', () => {
  const cwd = writeFixture({ 'empty.pem': ' \n', 'text.pem': 'no certificate', 'half.pem': '' })
  const a = makeCertificate(cwd, 'a')
  const b = makeCertificate(cwd, 'b')
  const whole = readFileSync(a.certificate, 'utf8')
  writeFileSync(join(cwd, 'half.pem'), whole.replace(/^(.{60}).*$/m, '$1'))
  writeFileSync(join(cwd, 'encrypted.pem'), '-----BEGIN ENCRYPTED PRIVATE KEY-----\n')
  const of = (settings: object, env = {}) => {
    writeFileSync(join(cwd, 'millrace.yaml'), JSON.stringify(settings))
    try {
      return loadConfig({ env, cwd })
    } catch (error) {
      return (error as MillraceError).toText()
    }
  }
  const refused = (settings: object, ...parts: string[]) => {
    const text = of(settings)
    for (const part of parts) assert.match(String(text), part)
  }
  const tls = (files: object) => ({ kafka: { tls: files } })
  refused(
    tls({ ca: 'gone.pem' }),
    'CONFIG_INVALID: millrace.yaml:1:23 kafka.tls.ca: the file',
    'gone.pem cannot be read (ENOENT)',
  )
  refused(tls({ ca: 'empty.pem' }), 'empty.pem is empty')
  refused(tls({ ca: 'text.pem' }), 'text.pem holds no certificate in PEM')
  refused(tls({ ca: 'half.pem' }), 'holds a certificate that cannot be read')
  refused(tls({ cert: a.certificate }), 'needs cert and key together')
  refused(tls({ cert: a.certificate, key: b.key }), 'is not that of the certificate in')
  refused(
    tls({ cert: a.certificate, key: 'encrypted.pem' }),
    'encrypted.pem is encrypted; write the key without a passphrase',
  )
  refused(tls({ cert: a.certificate, key: a.certificate }), 'holds no private key in PEM')
  const url = (name: string) => `postgres://localhost/db?sslmode=verify-full&sslrootcert=${join(cwd, name)}`
  refused({ source: { url: url('gone.pem') } }, 'source.url: the file', 'cannot be read (ENOENT)')
  refused({ clickhouse: { url: 'https://h', tls: { ca: 'gone.pem' } } }, 'clickhouse.tls.ca: the file')
  refused({ clickhouse: { url: 'http://localhost', tls: {} } }, 'clickhouse.tls: is for an https address')
  const good = { ca: 'a-certificate.pem', cert: 'b-certificate.pem', key: 'b-key.pem' }
  assert.is(
    typeof of({
      kafka: { tls: good },
      clickhouse: { url: 'https://h', tls: good },
      source: { url: url('a-certificate.pem') },
    }),
    'object',
  )
  assert.equal(readTlsFiles({ ca: a.certificate }, 'kafka.tls'), { ca: whole })
})

test('an insecure connection to another machine is refused until it is allowed', () => {
  const cases: readonly (readonly [string, string, string, RegExp])[] = [
    ['source', 'url', 'postgres://db.example/x', /unencrypted to db\.example; add sslmode=verify-full/],
    ['source', 'url', 'postgres://db.example/x?sslmode=no-verify', /nobody would verify who answers as db\.example/],
    ['source', 'url', 'postgres://db.example/x?uselibpqcompat=true&sslmode=require', /nobody would verify/],
    ['source', 'url', 'postgres://localhost/x?host=db.example', /unencrypted to db\.example/],
    ['kafka', 'brokers', '127.0.0.1:1,broker.example:9092', /unencrypted to broker\.example; set kafka\.tls: true/],
    ['kafka', 'registry', 'http://u:hush@registry.example', /unencrypted to registry\.example; write https/],
    ['clickhouse', 'url', 'http://clickhouse.example:8123', /unencrypted to clickhouse\.example; write https/],
  ]
  for (const [section, key, text, expected] of cases) {
    const value = key === 'brokers' ? text.split(',') : text
    const refused = refusal(JSON.stringify({ [section]: { [key]: value } }))
    assert.match(refused, /^CONFIG_INVALID: millrace.yaml:1:\d+ /)
    assert.match(refused, expected)
    assert.match(refused, `${section}.insecure: true (MILLRACE_${section.toUpperCase()}_INSECURE=true)`)
    assert.not.match(refused, /hush/)
    load(JSON.stringify({ [section]: { [key]: value, insecure: true } })).config
    load(JSON.stringify({ [section]: { [key]: value } }), {
      env: { [`MILLRACE_${section.toUpperCase()}_INSECURE`]: 'true' },
    }).config
  }
})

test('the environment can make a connection insecure too, and loopback is always allowed', () => {
  const remote = 'source: { url: "postgres://db.example/x?sslmode=verify-full" }'
  load(remote).config
  assert.match(refusal(remote, { env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' } }), /unset NODE_TLS_REJECT_UNAUTHORIZED/)
  const bare = 'source: { url: "postgres:///x" }'
  assert.match(refusal(bare, { env: { PGHOST: 'db.example' } }), /unencrypted to db\.example/)
  assert.match(refusal(bare, { env: { PGHOST: 'db.example', PGSSLMODE: 'no-verify' } }), /nobody would verify/)
  load(bare, { env: { PGHOST: 'db.example', PGSSLMODE: 'verify-full' } }).config
  for (const host of ['localhost', 'db.localhost', '127.0.0.1', '127.8.8.8', '[::1]', '%2Fvar%2Frun']) {
    load(`source: { url: "postgres://${host}/x" }`).config
  }
  for (const host of ['localhost', '127.0.0.1', '[::1]']) {
    load(
      `kafka: { brokers: ["${host}:9092"], registry: "http://${host}:8081" }\nclickhouse: { url: "http://${host}:8123" }`,
    ).config
  }
  for (const host of ['10.0.0.1', 'localhost.example', '127.0.0.1.example']) {
    assert.match(refusal(`clickhouse: { url: "http://${host}" }`), /unencrypted/)
  }
})

test.run()

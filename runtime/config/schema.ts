// runtime/config/schema: every setting with its type, default and meaning.
// Types, environment names and docs are derived from it. `writeOnly` marks secrets. `format: uri`
// marks addresses, whose password is hidden in output.

import { z } from 'zod'
import { isTimeZone, suggestTimeZone } from './time-zones.ts'

const count = (least: number, most: number) => z.int().min(least).max(most)
const port = count(0, 65_535).default(0)
const secret = z.string().meta({ writeOnly: true })

/**
 * The meaning of a setting and a value for it, for the JSON Schema and docs/reference/settings.md.
 */
const about = <Value>(description: string, example: Value) => ({ description, examples: [example] })

function address(...protocols: string[]) {
  const example = `${protocols[0]}//host:port`
  const accepts = (text: string) => URL.canParse(text) && protocols.includes(new URL(text).protocol)
  return z.string().refine(accepts, { error: `is no address such as ${example}` })
}

const insecure = (server: string) =>
  z
    .boolean()
    .default(false)
    .meta(about(`Allow connections to other machines that are not encrypted, or that do not verify ${server}.`, true))

const source = z.strictObject({
  url: address('postgres:', 'postgresql:')
    .optional()
    .meta({
      format: 'uri',
      description: 'Address of the Postgres to capture; without it an embedded one is started.',
      examples: ['postgres://millrace@db.example.com/shop?sslmode=verify-full'],
    }),
  insecure: insecure('the server'),
  publication: z
    .string()
    .min(1)
    .refine(name => Buffer.byteLength(name) <= 63, { error: 'is longer than the 63 bytes of a name in Postgres' })
    .optional()
    .meta(
      about(
        'Existing publication, which millrace does not change; without it each generation makes its own, which needs an owner of the tables.',
        'shop_changes',
      ),
    ),
  readers: count(1, 64).default(4).meta(about('Connections that copy tables at the same time in the initial load.', 8)),
  heartbeatSeconds: count(1, 3600)
    .default(10)
    .meta(about('Seconds between heartbeats, which let an idle database release its WAL.', 30)),
})

const sasl = z.strictObject({
  mechanism: z
    .enum(['plain', 'scram-sha-256', 'scram-sha-512'])
    .meta(about('How the password is proved.', 'scram-sha-512')),
  username: z.string().meta(about('User known to the brokers.', 'millrace')),
  password: secret.meta(about('Password of that user.', '${KAFKA_PASSWORD}')),
})

const tlsFiles = z
  .strictObject({
    ca: z
      .string()
      .min(1)
      .optional()
      .meta(about('File with the certificate authority, in PEM; without it those of Node.', 'ca.pem')),
    cert: z
      .string()
      .min(1)
      .optional()
      .meta(about('File with the certificate to show to the server, in PEM.', 'client.pem')),
    key: z
      .string()
      .min(1)
      .optional()
      .meta(about('File with the private key of that certificate, in PEM, not encrypted.', 'client.key')),
  })
  .refine(({ cert, key }) => (cert === undefined) === (key === undefined), {
    error: 'needs cert and key together, or neither',
  })

const tls = z
  .union([z.boolean(), tlsFiles], { error: 'must be true, false or files: { ca: FILE, cert: FILE, key: FILE }' })
  .default(false)
  .meta(about('Encrypt the connection to the brokers. Certificates are always verified.', true))

const kafka = z.strictObject({
  brokers: z
    .array(z.string().regex(/^[^\s:]+:\d+$|^\[[\da-fA-F:]+\]:\d+$/, 'is no address such as host:9092'))
    .min(1)
    .optional()
    .meta(
      about('Addresses of the brokers, host:port; without them an embedded Kafka is started.', [
        'kafka-1.example.com:9093',
        'kafka-2.example.com:9093',
      ]),
    ),
  partitions: count(1, 1024).default(4).meta(about('Partitions of each new topic; fixed from its creation on.', 12)),
  replication: count(1, 16).default(1).meta(about('Copies of each new topic.', 3)),
  retentionMs: count(-1, Number.MAX_SAFE_INTEGER)
    .default(-1)
    .meta(
      about(
        'Milliseconds that new topics keep their records; -1 keeps them for ever, so that everything can be replayed.',
        604_800_000,
      ),
    ),
  compression: z
    .enum(['none', 'gzip'])
    .default('none')
    .meta(about('Compression of records on the way and in the topics.', 'gzip')),
  maxRecordBytes: count(1024, 1_073_741_824)
    .default(8_388_608)
    .meta(about('Largest record; a larger row is refused, never cut. New topics are created to hold it.', 16_777_216)),
  tls,
  insecure: insecure('the brokers or the registry'),
  sasl: sasl.optional().describe('How to log in to the brokers; without it there is no login.'),
  registry: address('http:', 'https:')
    .optional()
    .meta({
      format: 'uri',
      description: 'Confluent-compatible schema registry; without it schemas are in the topic _schemas.',
      examples: ['https://registry.example.com'],
    }),
})

const clickhouse = z.strictObject({
  url: address('http:', 'https:')
    .optional()
    .meta({
      format: 'uri',
      description: 'HTTP address of ClickHouse; without it an embedded one is started.',
      examples: ['https://clickhouse.example.com:8443'],
    }),
  user: z.string().default('default').meta(about('User that creates the databases and inserts.', 'millrace')),
  password: secret.default('').meta(about('Password of that user.', '${CLICKHOUSE_PASSWORD}')),
  insecure: insecure('the server'),
  tls: tlsFiles.optional().describe('Certificates of an https address; without it those of Node.'),
})

const table = z.strictObject({
  capture: z
    .boolean()
    .optional()
    .meta(
      about('false leaves the table out, although a wider pattern matches it. Partitions go with their root.', false),
    ),
  partitionKey: z
    .array(z.string())
    .min(1)
    .optional()
    .meta(
      about('Columns that choose the partition; without it the primary key. Tables of a group must agree on it.', [
        'customer_id',
      ]),
    ),
  group: z
    .string()
    .optional()
    .meta(about('One consumer reads the partitions of the same number of all tables of a group.', 'sales')),
  onError: z
    .enum(['stop', 'dead-letter'])
    .default('stop')
    .meta(
      about(
        'What happens at a row that cannot be sent or inserted: stop the service, or write the row to the dead-letter topic and continue.',
        'dead-letter',
      ),
    ),
  history: z
    .boolean()
    .default(false)
    .meta(about('Keep every version of each row with the time it was valid for, in schema.table.history.', true)),
  text: z
    .array(z.string())
    .default([])
    .meta(about('Columns that are sent as exact text instead of their own type.', ['payload'])),
  partitions: count(1, 1024).optional().meta(about('Partitions of the topic; without it kafka.partitions.', 12)),
  personal: z
    .boolean()
    .optional()
    .meta(
      about(
        'The table holds personal data: every column must be classified under columns, and a new column is withheld.',
        true,
      ),
    ),
  columns: z
    .record(z.string(), z.enum(['keep', 'drop', 'mask', 'hash']))
    .optional()
    .meta(
      about(
        'What is sent of a column: all (keep), nothing (drop), the first character of each word (mask), or its hash with a key (hash).',
        { id: 'keep', name: 'mask', email: 'hash', notes: 'drop' },
      ),
    ),
})

const tablePattern = z
  .string()
  .regex(/^[^.]+\..+$/, 'is no table: write schema.table, with * for any number of characters, such as public.*')

const hash = z.strictObject({
  key: secret
    .min(32)
    .optional()
    .meta(
      about(
        'Key of hashed columns; without it one is made once and kept in the directory, readable by its owner only.',
        '${HASH_KEY}',
      ),
    ),
  keyId: z
    .string()
    .regex(/^[a-z0-9]{1,16}$/, 'must be 1 to 16 of a-z and 0-9')
    .default('k1')
    .meta(
      about('Name of the key. It is the prefix of every hashed value, so that values of different keys differ.', 'k2'),
    ),
})

const http = z.strictObject({
  host: z
    .string()
    .default('127.0.0.1')
    .meta(about('Address that the services listen on; they ask for no login.', '0.0.0.0')),
  producerPort: port.meta(about('Port of the producer; 0 takes a free one.', 9400)),
  consumerPort: port.meta(about('Port of the consumer; 0 takes a free one.', 9401)),
  registryPort: port.meta(about('Port of the read-only schema registry; 0 takes a free one.', 9402)),
})

const log = z.strictObject({
  level: z.enum(['debug', 'info', 'warn', 'error']).default('info').meta(about('Least level that is logged.', 'debug')),
  format: z
    .enum(['auto', 'json', 'text'])
    .default('auto')
    .meta(about('JSON lines for machines or text for a terminal; auto decides by where the log goes.', 'json')),
})

export const configSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z][a-z0-9_]{0,30}$/, 'must be 1 to 31 of a-z, 0-9 and _, and begin with a letter')
    .default('millrace')
    .meta(about('Prefix of topics, slot, publication, consumer group and ClickHouse databases.', 'shop')),
  directory: z
    .string()
    .min(1)
    .default('.millrace')
    .meta(about('Where state and the data of embedded servers are kept.', '/var/lib/millrace')),
  source: source.prefault({}).describe('The Postgres that changes come from.'),
  kafka: kafka.prefault({}).describe('The brokers that changes go through.'),
  clickhouse: clickhouse.prefault({}).describe('The ClickHouse that changes are inserted into.'),
  tables: z
    .record(tablePattern, table)
    .refine(tables => Object.values(tables).some(({ capture = true }) => capture), {
      error: 'captures nothing; name a table or write public.*: {}',
    })
    .prefault({ 'public.*': {} })
    .describe('What to capture: schema.table, or a pattern such as public.*; the most specific one counts.'),
  hash: hash.prefault({}).describe('The key of columns that leave as a keyed hash (HMAC-SHA-256).'),
  model: z
    .string()
    .min(1)
    .optional()
    .meta(about('Directory of SQL files with reports; without it tables are only replicated.', 'model/sales')),
  reportTimeZone: z
    .string()
    .refine(isTimeZone, {
      error: ({ input }) => `is no time zone of the IANA list, such as Europe/Berlin.${suggestTimeZone(String(input))}`,
    })
    .default('UTC')
    .meta(about('Time zone in which reports cut days.', 'Europe/Berlin')),
  http: http.prefault({}).describe('Where the services report their state over HTTP.'),
  log: log.prefault({}).describe('The log of the services, on stderr.'),
})

// test/e2e/avro.test: ClickHouse's own Confluent reader reads the topics through the registry
// endpoints of the producer.
// Nothing of millrace decodes here.

import { assert, suite, until } from '../support/harness/suite.ts'
import { startPipeline } from '../support/pipelines/pipeline.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'
import { readTopic } from '../support/servers/topic.ts'

const test = suite('avro', { timeoutMs: 120_000 })
let services: Servers

test.before(async () => {
  services = await shareServers(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

const row = 'Tuple(id Int64, price Nullable(Decimal(12, 2)), note Nullable(String), made_at DateTime64(6))'
const structure = `source Tuple(lsn Int64, ordinal Int64, txId Int64, ts_us Int64, snapshot Bool, schema String, \`table\` String), op String, ts_ms Int64, before ${row}, after ${row}`

test('AvroConfluent reads a topic through the registry endpoints', async () => {
  await using pipeline = await startPipeline(services, {
    setup: `CREATE TABLE price (id bigint PRIMARY KEY, price numeric(12,2), note text, made_at timestamptz NOT NULL);
      ALTER TABLE price REPLICA IDENTITY FULL;
      INSERT INTO price SELECT i, i / 7.0, nullif(i % 3, 0)::text, '2026-01-01'::timestamptz + i * interval '1 hour' FROM generate_series(1, 500) i`,
  })
  await pipeline.sql(
    "UPDATE price SET price = price + 1 WHERE id <= 100; DELETE FROM price WHERE id > 450; INSERT INTO price VALUES (-9, NULL, '💥', now())",
  )
  await pipeline.settle()
  const registry = await until(() => /schemas are served.*?(http:\/\/[\d.:]+)/.exec(pipeline.producer.log)?.[1], {
    what: "the registry's address in the producer's log",
  })
  const records = await readTopic(services.endpoints.kafka!, `${pipeline.name}.1.public.price`)
  const database = `avro_${pipeline.name}`
  await post(services, `CREATE DATABASE ${database} ENGINE = Atomic`)
  try {
    await post(
      services,
      `CREATE TABLE ${database}.seen (op String, sign Int8, id Int64, price Nullable(Decimal(12, 2)), note Nullable(String), made_at DateTime64(6, 'UTC')) ENGINE = MergeTree ORDER BY id`,
    )
    const insert = `INSERT INTO ${database}.seen SELECT op, s, im.id, im.price, im.note, im.made_at FROM (SELECT op, arrayJoin(arrayFilter(x -> (x.1 < 0 AND op IN ('u', 'd')) OR (x.1 > 0 AND op != 'd'), [(toInt8(-1), before), (toInt8(1), after)])) AS pair, pair.1 AS s, pair.2 AS im FROM input('${structure}')) FORMAT AvroConfluent`
    const values = Buffer.concat(records.map(({ value }) => value!))
    await post(services, insert, values, { format_avro_schema_registry_url: registry })
    const counts = await post(
      services,
      `SELECT op, count() FROM ${database}.seen WHERE sign > 0 OR op = 'd' GROUP BY op ORDER BY op FORMAT TSV`,
    )
    assert.is(counts, 'c\t1\nd\t50\nr\t500\nu\t100\n')
    const live = await post(
      services,
      `SELECT sum(sign), sum(sign * price), sum(sign * toUnixTimestamp(made_at)) FROM ${database}.seen WHERE id > 0 FORMAT TSV`,
    )
    const [expected] = await pipeline.sql<{ n: string; price: string; at: string }>(
      'SELECT count(*) AS n, sum(price) AS price, sum(extract(epoch FROM made_at)::bigint) AS at FROM price WHERE id > 0',
    )
    assert.is(live, `${expected!.n}\t${expected!.price.replace(/\.?0+$/, '')}\t${expected!.at}\n`)
  } finally {
    await post(services, `DROP DATABASE ${database} SYNC`)
  }
})

async function post(
  { endpoints }: Servers,
  sql: string,
  body?: Buffer,
  settings: Readonly<Record<string, string>> = {},
): Promise<string> {
  const search = new URLSearchParams({ ...settings, ...(body === undefined ? {} : { query: sql }) })
  const response = await fetch(`${endpoints.clickhouse}/?${search}`, {
    method: 'POST',
    body: body === undefined ? sql : new Uint8Array(body),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(text.slice(0, 800))
  return text
}

test.run()

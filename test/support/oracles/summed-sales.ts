// test/support/oracles/summed-sales: a pipeline of one table with aggregates, and a check that
// every change counts once.

import { Kafka, logLevel } from 'kafkajs'
import { consumerGroup } from '../../../contract/generation.ts'
import { writeFixture } from '../harness/program.ts'
import { assert } from '../harness/suite.ts'
import { type Pipeline, startPipeline } from '../pipelines/pipeline.ts'
import type { Servers } from '../servers/services.ts'

const setup = `CREATE TABLE public.sales (id int PRIMARY KEY, amount numeric(10,2) NOT NULL); ALTER TABLE public.sales REPLICA IDENTITY FULL;
  INSERT INTO public.sales SELECT g, g FROM generate_series(1, 100) g`
const modelFiles = {
  'model.yaml':
    'requires: [public.sales]\npublish: { sums: [by_parity] }\naggregates: { sums: { by: [id], of: [public.sales] } }\n',
  'clickhouse/100_sums.sql': `CREATE TABLE sums (parity UInt8, sales Int64, amount Decimal(38, 2)) ENGINE = SummingMergeTree ORDER BY parity;
CREATE VIEW \`sums.contributions\` AS SELECT toUInt8(abs(id) % 2) AS parity, sum(_sign) AS sales, sum(_sign * toDecimal128(amount, 2)) AS amount
FROM \`public.sales.rows\` GROUP BY parity;
CREATE VIEW by_parity AS SELECT parity, sum(sums.sales) AS sales, sum(sums.amount) AS amount FROM sums GROUP BY parity HAVING sales != 0;
`,
  'checks/by_parity.sql':
    '-- key: parity\nSELECT abs(id) % 2 AS parity, count(*) AS sales, sum(amount) AS amount FROM public.sales GROUP BY 1\n',
}
export const changelog = '`public.sales.changelog`'

export class SummedSales {
  readonly pipeline: Pipeline
  readonly #kafka: Kafka

  private constructor(pipeline: Pipeline) {
    this.pipeline = pipeline
    this.#kafka = new Kafka({ brokers: [pipeline.services.endpoints.kafka!], logLevel: logLevel.NOTHING })
  }

  static async start(services: Servers): Promise<SummedSales> {
    return new SummedSales(await startPipeline(services, { setup, settings: { model: writeFixture(modelFiles) } }))
  }

  get groupId(): string {
    return consumerGroup(this.pipeline.name, 1)
  }

  get topic(): string {
    return `${this.pipeline.name}.1.public.sales`
  }

  async withAdmin<T>(work: (admin: ReturnType<Kafka['admin']>) => Promise<T>): Promise<T> {
    const admin = this.#kafka.admin()
    await admin.connect()
    try {
      return await work(admin)
    } finally {
      await admin.disconnect()
    }
  }

  /** Commits as Kafka's tools do, without metadata. The consumer must not run. */
  async moveOffsets(offsetAt: (end: string) => string): Promise<void> {
    const { groupId, topic } = this
    await this.withAdmin(async admin => {
      const ends = await admin.fetchTopicOffsets(topic)
      const partitions = ends.map(({ partition, high }) => ({ partition, offset: offsetAt(high) }))
      await admin.setOffsets({ groupId, topic, partitions })
    })
  }

  /** A few transactions. The consumer inserts each of them separately into ClickHouse. */
  async change(times = 2): Promise<void> {
    for (let time = 0; time < times; time++) {
      await this.pipeline.sql(
        'UPDATE sales SET amount = amount + 1 WHERE id % 3 = 0; DELETE FROM sales WHERE id = (SELECT max(id) FROM sales)',
      )
      await this.pipeline.settle()
    }
  }

  /** Ten more rows, without waiting for them. */
  async addTen(): Promise<void> {
    await this.pipeline.sql(
      'INSERT INTO sales SELECT 1000 + g + (SELECT max(id) FROM sales), 7 FROM generate_series(1, 10) g',
    )
  }

  /** Runs a statement in the generation's database. */
  async command(sql: string): Promise<void> {
    const { services } = this.pipeline
    const database = await this.pipeline.database()
    const url = `${services.endpoints.clickhouse}/?database=${database}`
    const response = await fetch(url, { method: 'POST', body: sql })
    if (!response.ok) throw new Error(await response.text())
  }

  /**
   * Starts the stopped services. Asserts that current state, sums and images equal Postgres, and
   * that no image is there twice.
   */
  async assertExact(): Promise<void> {
    const { pipeline } = this
    pipeline.start()
    await this.change(1)
    const { reports } = await pipeline.assertEqual()
    assert.equal(Object.keys(reports), ['by_parity'])
    const [row] = await pipeline.clickhouse<{ images: string; distinct: string; amount: string }>(
      `SELECT toString(count()) AS images, toString(uniqExact(_partition, _offset, _sign)) AS distinct, toString(sum(_sign * amount)) AS amount FROM ${changelog}`,
    )
    assert.is(row!.images, row!.distinct)
    const [source] = await pipeline.sql<{ amount: string }>('SELECT trim_scale(sum(amount)) AS amount FROM sales')
    assert.is(row!.amount, source!.amount)
  }
}

// test/e2e/own-model.test: the model in docs/how-to/write-a-model.md, taken from the page's text,
// is right after every kind of change.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { writeFixture } from '../support/harness/program.ts'
import { projectRoot } from '../support/harness/root.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { startPipeline } from '../support/pipelines/pipeline.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('own model', { timeoutMs: 120_000 })
let services: Servers

test.before(async () => {
  services = await shareServers(['postgres', 'kafka', 'clickhouse'])
})
test.after(() => services?.stop())

/** The page's blocks by the word after their language: file names, and `source`. */
function blocks(): Map<string, string> {
  const page = readFileSync(join(projectRoot, 'docs/how-to/write-a-model.md'), 'utf8')
  return new Map([...page.matchAll(/^```\w+ (\S+)\n(.*?)^```$/gms)].map(([, name, text]) => [name!, text!]))
}

test('the model of the how-to page is right', async () => {
  const { source, ...files } = Object.fromEntries(blocks())
  assert.is(Object.keys(files).length, 4)
  const model = writeFixture({})
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(model, name)), { recursive: true })
    writeFileSync(join(model, name), text)
  }
  const add = (from: number, to: number) =>
    `INSERT INTO payments SELECT g, 'a' || g % 5, g * 1.07, timestamptz '2025-03-01Z' + g * interval '7 hours' FROM generate_series(${from}, ${to}) g`
  await using pipeline = await startPipeline(services, { setup: `${source}; ${add(1, 300)}`, settings: { model } })
  for (const change of [
    add(301, 400),
    "UPDATE payments SET amount = amount + 0.01, paid_at = paid_at + interval '1 day' WHERE payment_id % 3 = 0",
    'UPDATE payments SET payment_id = -payment_id WHERE payment_id % 50 = 0',
    "DELETE FROM payments WHERE paid_at < '2025-04-01Z'",
    `BEGIN; TRUNCATE payments; ${add(500, 600)}; COMMIT`,
  ]) {
    await pipeline.sql(change)
    const { reports } = await pipeline.assertEqual()
    assert.equal(Object.keys(reports), ['income_by_day'])
    assert.ok(reports.income_by_day!.rows > 10, change)
  }
})

test.run()

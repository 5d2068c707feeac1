// test/unit/demo-screen.test: each screen of the demo is drawn over the previous one, at any width
// of the terminal.

import { Writable } from 'node:stream'
import { DemoScreen, type DemoView, terminalRows } from '../../cli/demo/demo-screen.ts'
import { assert, suite } from '../support/harness/suite.ts'

const view: DemoView = {
  seconds: 61,
  endpoints: { Kafka: '127.0.0.1:1' },
  changesPerSecond: 1000,
  changes: 12_345,
  freshness: { p50: 100, p99: 200, max: 300 },
  today: { total_orders: '1', total_revenue: '2.00' },
  best: [{ territory: 'North', rank: 1, customer: 'A', orders: 2, revenue: '3.00' }],
  next: [`command ${'x'.repeat(150)}`],
}

/** Everything written to an output with this many columns; 0 means no terminal. */
function draw(columns: number): string {
  let written = ''
  const out = new Writable({
    write(chunk, _encoding, done) {
      written += String(chunk)
      done()
    },
  })
  const screen = new DemoScreen(Object.assign(out, { isTTY: columns > 0, columns }) as unknown as NodeJS.WriteStream)
  screen.draw(view)
  screen.draw(view)
  return written
}

/** How many rows above the end of the first screen the second one starts. */
const rowsUp = (columns: number) => Number(new RegExp(`${String.fromCharCode(27)}\\[(\\d+)A`).exec(draw(columns))![1])

const test = suite('demo screen')

test('a line that is wider than the terminal takes several rows', () => {
  assert.is(rowsUp(80) - rowsUp(1000), 1)
  const marked = `\x1b[1m${'x'.repeat(80)}\x1b[22m`
  assert.is(terminalRows(['', 'x'.repeat(80), 'x'.repeat(81), marked], 80), 1 + 1 + 2 + 1)
})

test('without a terminal a picture is one line', () => {
  const lines = draw(0).split('\n')
  assert.is(lines.length, 3)
  assert.is(lines[0], '61 s: 1,000 changes/s, 12,345 in all, fresh p50 100 ms p99 200 ms, today 1 orders 2.00 revenue')
})

test.run()

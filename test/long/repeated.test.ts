// test/long/repeated: random tests and tests with many rows, repeated four times as often as in the
// everyday run.

import { startProgram } from '../support/harness/program.ts'
import { assert, suite } from '../support/harness/suite.ts'

const times = 4
const files = [
  ...['service/model-sums', 'service/epoch-random', 'e2e/crash', 'e2e/oracle', 'e2e/producer-crash', 'e2e/property'],
]

const test = suite('repeated', { timeoutMs: 1_800_000 })

for (const file of files) {
  test(`${file} passes with ${times} times as many repetitions`, async () => {
    const { code, stdout } = await startProgram(['test/support/runner/run.ts', file], { TEST_TIMES: String(times) })
      .ended
    console.log(stdout)
    assert.is(code, 0)
  })
}

test.run()

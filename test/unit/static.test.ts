// test/unit/static.test: types, lint, format and unused code of the whole project.

import { runTool } from '../support/harness/program.ts'
import { assert, suite } from '../support/harness/suite.ts'

/** Fails with the tool's own output. */
async function clean(tool: string, ...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await runTool([`node_modules/${tool}`, ...args])
  assert.is(code, 0, stdout + stderr)
}

const test = suite('static', { timeoutMs: 170_000 })

test('types', () => clean('typescript/bin/tsc', '--noEmit'))

test('lint and format', () => clean('@biomejs/biome/bin/biome', 'ci', '--colors=off'))

test('every file, export and dependency is used', () => clean('knip/bin/knip.js', '--no-progress'))

test.run()

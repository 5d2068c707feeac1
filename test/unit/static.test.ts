// test/unit/static.test: types, lint and format of the whole project.
// May know: the tools, run as processes.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { projectRoot } from '../support/sources.ts'
import { assert, suite } from '../support/suite.ts'

/** Fails with the tool's own output. */
async function clean(tool: string, ...args: string[]): Promise<void> {
  const child = spawn(process.execPath, [`${projectRoot}/node_modules/${tool}`, ...args], { cwd: projectRoot })
  let output = ''
  child.stdout.on('data', chunk => (output += chunk))
  child.stderr.on('data', chunk => (output += chunk))
  const [code] = await once(child, 'close')
  assert.is(code, 0, output)
}

const test = suite('static', { timeoutMs: 170_000 })

test('types', () => clean('typescript/bin/tsc', '--noEmit'))

test('lint and format', () => clean('@biomejs/biome/bin/biome', 'ci', '--colors=off'))

test.run()

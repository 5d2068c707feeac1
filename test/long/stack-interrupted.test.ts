// test/long/stack-interrupted.test: `millrace up` after it was killed itself, or on a machine with
// an obstacle.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { MillraceError } from '../../runtime/errors.ts'
import { createLog } from '../../runtime/log.ts'
import type { Component } from '../../stack/component.ts'
import { findProcesses } from '../../stack/processes.ts'
import { readState, statePath } from '../../stack/state.ts'
import { down, kill, reset, up } from '../../stack/up.ts'
import { leftovers } from '../support/harness/leftovers.ts'
import { startCommand } from '../support/harness/program.ts'
import { assert, suite, until } from '../support/harness/suite.ts'

const root = mkdtempSync(join(tmpdir(), 'stack-'))
chmodSync(root, 0o711)
const log = createLog('stack', 'error')
const test = suite('stack interrupted', { timeoutMs: 180_000 })
const postgresOnly: readonly Component[] = ['postgres']

test.after(() => rmSync(root, { recursive: true }))

async function refusal(work: Promise<unknown>): Promise<MillraceError> {
  const error = await work.then(
    () => undefined,
    caught => caught as unknown,
  )
  if (error instanceof MillraceError) return error
  throw new Error(`expected a MillraceError, got ${String(error)}`)
}

test('up that was killed at any moment of a first start is finished by the next up', async () => {
  const directory = join(root, 'killed')
  // The kills are spread over checking, building directories, starting and waiting. The next run
  // continues where the last one ended.
  for (const afterMs of [800, 1_100, 1_500, 2_200]) {
    const { pid, ended } = startCommand(['-d', directory, 'up'])
    await Promise.race([ended, pause(afterMs)])
    process.kill(pid, 'SIGKILL')
    await ended
  }
  const endpoints = await up({ directory, log })
  assert.equal(Object.keys(endpoints).sort(), ['clickhouse', 'clickhouseNative', 'kafka', 'postgres'])
  for (const [name, mark] of [
    ['postgres', join(directory, 'postgres')],
    ['kafka', join(directory, 'kafka.properties')],
    ['clickhouse', `--config-file=${join(directory, 'clickhouse')}.xml`],
  ] as const) {
    assert.equal(
      (await findProcesses([mark])).map(({ pid }) => pid),
      [readState(directory)[name]?.pid],
      name,
    )
  }
  await down(directory, log)
  assert.equal(leftovers(directory), [])
})

test('a port that another process takes while Kafka starts is replaced by another port', async () => {
  const directory = join(root, 'overtaken')
  const starting = up({ directory, log, components: ['kafka'] })
  const chosen = () => readState(directory).kafka?.ports.client
  await until(() => chosen() !== undefined, { what: 'a port is chosen' })
  const port = chosen()
  const stranger = createServer().listen(port, '127.0.0.1')
  try {
    await once(stranger, 'listening')
    assert.is.not((await starting).kafka, `127.0.0.1:${port}`)
  } finally {
    stranger.close()
  }
  await reset(directory, log)
  assert.equal(leftovers(directory), [])
})

test('a running component without a state file is replaced', async () => {
  const directory = join(root, 'forgotten')
  await up({ directory, log, components: postgresOnly })
  const before = readState(directory).postgres?.pid
  rmSync(statePath(directory))
  await up({ directory, log, components: postgresOnly })
  assert.is.not(readState(directory).postgres?.pid, before)
  await reset(directory, log)
  assert.equal(leftovers(directory), [])
})

test("a postmaster.pid with the id of another process of Postgres' account does not stop up", async () => {
  const directory = join(root, 'recycled')
  await up({ directory, log, components: postgresOnly })
  const data = readState(directory).postgres!.data
  await kill(directory, 'postgres')
  const { uid, gid } = statSync(data)
  const stranger = spawn('sleep', ['600'], { uid, gid, cwd: '/' })
  writeFileSync(join(data, 'postmaster.pid'), `${stranger.pid}\n${data}\n`)
  await up({ directory, log, components: postgresOnly })
  assert.ok(stranger.kill(), 'the other process is still there')
  await reset(directory, log)
})

test('the error for a component that cannot start contains the end of its log', async () => {
  const directory = join(root, 'broken')
  await up({ directory, log, components: postgresOnly })
  await down(directory, log)
  appendFileSync(join(readState(directory).postgres!.data, 'postgresql.conf'), "wal_level = 'sideways'\n")
  const error = await refusal(up({ directory, log, components: postgresOnly }))
  assert.is(error.code, 'STACK_FAILED')
  assert.match(error.message, 'sideways')
  await reset(directory, log)
})

// Only root starts Postgres under another account.
if (process.getuid?.() === 0)
  test('the data of Postgres are elsewhere when its account cannot reach the directory, and reset finds them', async () => {
    const closed = join(root, 'closed')
    mkdirSync(closed, { mode: 0o700 })
    const directory = join(closed, 'stack')
    await up({ directory, log, components: postgresOnly })
    const data = readState(directory).postgres!.data
    assert.not(data.startsWith(closed))
    await kill(directory, 'postgres')
    await up({ directory, log, components: postgresOnly })
    assert.is(readState(directory).postgres!.data, data)
    await reset(directory, log)
    assert.not(existsSync(data))
  })

test('a missing or old Java is named with the remedy', async () => {
  writeTool(join(root, 'java-11', 'bin', 'java'), 'echo \'openjdk version "11.0.2" 2019-01-15\' >&2')
  for (const [home, said] of [
    [join(root, 'nowhere'), /there is none/],
    [join(root, 'java-11'), /Java 11 is too old/],
  ] as const) {
    const error = await refusedKafka({ JAVA_HOME: home })
    assert.is(error.code, 'STACK_PREREQUISITE')
    assert.match(error.message, said)
    assert.match(error.next, /install Java 17/)
  }
})

test('a missing Maven or an unreachable repository is named with the remedy', async () => {
  const tools = join(root, 'tools')
  writeTool(join(tools, 'java'), 'echo \'openjdk version "17.0.1" 2021-10-19\' >&2')
  const missing = await refusedKafka({ JAVA_HOME: '', PATH: tools })
  assert.is(missing.code, 'STACK_PREREQUISITE')
  assert.match(missing.next, /install Maven/)

  writeTool(join(tools, 'mvn'), 'echo "[ERROR] Could not transfer artifact: Unknown host repo.example"; exit 1')
  const unreachable = await refusedKafka({ JAVA_HOME: '', PATH: tools })
  assert.is(unreachable.code, 'STACK_DOWNLOAD')
  assert.match(unreachable.message, /Unknown host repo.example/)
  assert.match(unreachable.next, /mirror or proxy/)
})

/** Output of `up` about Kafka, on a machine with this environment and no jars. */
async function refusedKafka(environment: Record<string, string>): Promise<MillraceError> {
  const saved = { ...process.env }
  Object.assign(process.env, environment)
  try {
    return await refusal(up({ directory: join(root, 'bare'), log, components: ['kafka'], cache: join(root, 'cache') }))
  } finally {
    process.env = saved
  }
}

function writeTool(path: string, script: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
}

test.run()

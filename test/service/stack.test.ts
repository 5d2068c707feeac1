// test/service/stack.test: the life of a stack: found again, recovered after kill -9 of each
// component, moved, emptied.

import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MillraceError } from '../../runtime/errors.ts'
import { createLog } from '../../runtime/log.ts'
import { components, type Endpoints } from '../../stack/component.ts'
import { readState } from '../../stack/state.ts'
import { down, kill, reset, up } from '../../stack/up.ts'
import { leftovers } from '../support/harness/leftovers.ts'
import { startCommand } from '../support/harness/program.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { readData, writeData } from '../support/oracles/stack-data.ts'

const directory = mkdtempSync(join(tmpdir(), 'stack-'))
const log = createLog('stack', 'warn')
const test = suite('stack', { timeoutMs: 120_000 })
let endpoints: Endpoints

const pids = () => components.map(name => readState(directory)[name]?.pid)

test.before(async () => {
  endpoints = await up({ directory, log })
  await writeData(endpoints)
})

test.after(async () => {
  await reset(directory, log)
  rmSync(directory, { recursive: true })
})

test('a second up finds the running components', async () => {
  const before = pids()
  assert.equal(await up({ directory, log }), endpoints)
  assert.equal(pids(), before)
})

test('up --json prints the endpoints and nothing else', async () => {
  const { code, stdout } = await startCommand(['-d', directory, 'up', '--json']).ended
  assert.is(code, 0)
  assert.equal(JSON.parse(stdout), endpoints)
})

test('after kill -9 of everything, two ups at once bring back one stack with its data on the same ports', async () => {
  const before = pids()
  const killed = await Promise.all(components.map(name => kill(directory, name)))
  assert.equal(killed, before)
  const args = ['-d', directory, 'up', '--json']
  const both = await Promise.all([startCommand(args).ended, startCommand(args).ended])
  for (const { code, stdout, stderr } of both) {
    assert.is(code, 0, stderr)
    assert.equal(JSON.parse(stdout), endpoints)
  }
  assert.ok(pids().every(pid => !before.includes(pid)))
  assert.equal(await readData(endpoints), [42, 1, 42])
})

test('kill -9 of one component leaves the others alone', async () => {
  for (const name of ['postgres', 'clickhouse'] as const) {
    const before = readState(directory)
    await kill(directory, name)
    assert.equal(await up({ directory, log }), endpoints)
    for (const each of components) {
      assert.is(readState(directory)[each]?.pid === before[each]?.pid, each !== name, `${each} after ${name}`)
    }
  }
  assert.equal(await readData(endpoints), [42, 1, 42])
})

test('down leaves no process, and up afterwards has all data', async () => {
  await down(directory, log)
  assert.equal(leftovers(directory), [])
  assert.equal(await up({ directory, log }), endpoints)
  assert.equal(await readData(endpoints), [42, 1, 42])
})

test('a port that another process took is named, and replaced only on demand', async () => {
  await down(directory, log)
  const port = Number(new URL(endpoints.postgres!).port)
  const stranger = await occupy(port)
  const refused = await up({ directory, log, components: ['postgres'] }).catch(error => error as unknown)
  assert.ok(refused instanceof MillraceError && refused.code === 'STACK_PORT_TAKEN', String(refused))
  assert.match(refused.message, String(port))
  const moved = await up({ directory, log, components: ['postgres', 'clickhouse'], newPorts: true })
  assert.is.not(moved.postgres, endpoints.postgres)
  assert.is(moved.clickhouse, endpoints.clickhouse)
  stranger.close()
})

test('reset deletes the data', async () => {
  await reset(directory, log)
  assert.equal(leftovers(directory), [])
  for (const name of [...components, 'stack.json']) assert.not(existsSync(join(directory, name)), name)
})

function occupy(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => resolve(server))
  })
}

test.run()

// test/service/import.test: files of visits imported into a real Postgres: each line once, after
// any interruption.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { appendFile, open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { backfill } from '../../generator/database/backfill.ts'
import { applySchema } from '../../generator/database/schema.ts'
import { type ImportOptions, type ImportResult, importTraffic } from '../../import/traffic.ts'
import type { Log } from '../../runtime/log.ts'
import { type Program, startCommand, writeFixture } from '../support/harness/program.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { createDatabase, type TestDatabase, uniqueName } from '../support/servers/postgres.ts'
import { quietLog, type Servers, shareServers } from '../support/servers/services.ts'

const header = 'visited_at,traffic_source,customer_id,landing_page,cost'

let services: Servers
let database: TestDatabase
const directory = writeFixture({})

/** Writes a file under a unique name. */
function file(text: string | Buffer, name = `${uniqueName('visits')}.csv`): string {
  writeFileSync(join(directory, name), text)
  return join(directory, name)
}

function lines(count: number, from = 1): string {
  return Array.from(
    { length: count },
    (_, index) => `2025-11-21T09:30:00Z,Search,${(index % 50) + 1},/page/${from + index},0.35\n`,
  ).join('')
}

function load(path: string, options: Partial<ImportOptions> = {}): Promise<ImportResult> {
  return importTraffic({ url: database.url, path, log: quietLog(), signal: new AbortController().signal, ...options })
}

/** Imported line numbers, by file. */
async function loadedLines({ import_id }: Pick<ImportResult, 'import_id'>): Promise<number[]> {
  const rows = await database.sql<{ line: string }>(
    `SELECT source_line AS line FROM shop.user_traffic WHERE source LIKE 'csv:' || $1::text || ':%' ORDER BY 1`,
    [import_id],
  )
  return rows.map(({ line }) => Number(line))
}

async function visits(): Promise<number> {
  const [row] = await database.sql<{ n: string }>('SELECT count(*) AS n FROM shop.user_traffic')
  return Number(row!.n)
}

function command(...args: string[]): Program {
  const settings = ['--set', `source.url=${database.url}`, '--data', join(directory, 'data')]
  return startCommand([...settings, 'import', 'traffic', ...args])
}

const test = suite('import of visits', { timeoutMs: 120_000 })

test.before(async () => {
  services = await shareServers(['postgres'])
  database = await createDatabase(services.endpoints.postgres!)
  await applySchema(database.url, quietLog())
  await backfill({ url: database.url, orders: 500, years: 1, seed: 1, log: quietLog() })
})

test.after(async () => {
  await database?.drop()
  await services?.stop()
})

test('good lines are imported literally, bad ones are kept with line, reason and text', async () => {
  const path = file(
    Buffer.concat([
      Buffer.from(
        `\ufeff${header}\r\n2025-11-21T10:30:00.123456+01:00,Newsletter,3,"/a,b\n""c""",1.5\n2025-11-21 09:00,Search,,/,0\r`,
      ),
      Buffer.from(
        '2025-02-30T00:00:00Z,Search,,/,0\n2025-01-01T00:00:00Z,Pigeons,999999999,/,0\n2025-01-01T00:00:00Z,Search,,/caf\xe9,0\nx\n2025-01-01T00:00:00Z,Search,,/last,0',
        'latin1',
      ),
    ]),
  )
  const result = await load(path)
  assert.equal(
    { ...result, seconds: 0 },
    {
      file: result.file,
      import_id: result.import_id,
      state: 'new',
      loaded: 3,
      rejected: 4,
      total: { loaded: 3, rejected: 4 },
      rejects_file: path.replace(/\.csv$/, '.rejects.csv'),
      seconds: 0,
    },
  )
  const rows = await database.sql(
    `SELECT v.visited_at::text AS at, s.name, customer_id::int AS customer, landing_page AS page, cost::text, source_line::int AS line
    FROM shop.user_traffic v JOIN shop.traffic_sources s USING (traffic_source_id) WHERE source LIKE $1 ORDER BY source_line`,
    [`csv:${result.import_id}:%`],
  )
  assert.equal(rows, [
    { at: '2025-11-21 09:30:00.123456+00', name: 'Newsletter', customer: 3, page: '/a,b\n"c"', cost: '1.50', line: 2 },
    { at: '2025-11-21 09:00:00+00', name: 'Search', customer: null, page: '/', cost: '0.00', line: 4 },
    { at: '2025-01-01 00:00:00+00', name: 'Search', customer: null, page: '/last', cost: '0.00', line: 9 },
  ])
  const rejects = readFileSync(result.rejects_file!, 'utf8').split('\n')
  assert.is(rejects[0], 'line,reason,original')
  assert.equal(
    rejects.slice(1, 5).map(line => line.split(',')[0]),
    ['5', '6', '7', '8'],
  )
  assert.match(rejects[1]!, /no time that exists.*2025-02-30/)
  assert.match(rejects[2]!, /no traffic source ""Pigeons""; there is no customer 999999999/)
  assert.match(rejects[3]!, /no UTF-8.*caf\\xe9/)
  assert.match(rejects[4]!, /1 value where/)
})

test('the same file again, or under another name, changes nothing', async () => {
  const path = file(`${header}\n${lines(10)}`)
  const first = await load(path)
  const before = await visits()
  assert.equal([first.state, first.loaded], ['new', 10])
  assert.equal([(await load(path)).state, (await load(path)).loaded], ['known', 0])
  await rename(path, `${path}.renamed.csv`)
  const renamed = await load(`${path}.renamed.csv`)
  assert.equal([renamed.state, renamed.loaded, renamed.import_id], ['known', 0, first.import_id])
  assert.is(await visits(), before)
})

test('of a file that has grown, only new lines are imported, under their own line numbers', async () => {
  const path = file(`${header}\n${lines(3)}\n\n`)
  const first = await load(path)
  await appendFile(path, lines(2, 4).trimEnd())
  const grown = await load(path)
  assert.equal([grown.state, grown.loaded, grown.import_id], ['extended', 2, first.import_id])
  await appendFile(path, `\r\n${lines(1, 6)}`)
  assert.equal([(await load(path)).loaded, (await load(path)).state], [1, 'known'])
  assert.equal(await loadedLines(first), [2, 3, 4, 7, 8, 9])
  const again = await load(path, { again: true })
  assert.equal([again.loaded, again.total], [0, { loaded: 6, rejected: 0 }])
})

test('a file with other changes is refused, and imported as a new one on request', async () => {
  const path = file(`${header}\n${lines(3)}`)
  const first = await load(path)
  const before = await visits()
  writeFileSync(path, `${header}\n${lines(3).replace('0.35', '0.36')}`)
  await assert.refuses(() => load(path), 'IMPORT_CHANGED', /of this name/)
  writeFileSync(path, `${header}\n${lines(3).trimEnd()}5\n`)
  await assert.refuses(() => load(path), 'IMPORT_CHANGED')
  const fork = file(`${header}\n${lines(3)}${lines(1, 100)}`)
  await load(fork)
  await assert.refuses(
    () => load(file(`${header}\n${lines(3)}${lines(1, 200)}`)),
    'IMPORT_CHANGED',
    /went on in another way/,
  )
  assert.is(await visits(), before + 1)
  const other = await load(path, { isNew: true })
  assert.equal([other.state, other.loaded], ['new', 2])
  assert.is.not(other.import_id, first.import_id)
})

test('lines rejected for a missing customer or source are imported by a later run that finds it', async () => {
  const path = file(`${header}\n2025-01-01T00:00:00Z,Late network,,/,0\n${lines(2)}`)
  assert.equal((await load(path)).total, { loaded: 2, rejected: 1 })
  await database.sql(`INSERT INTO shop.traffic_sources (name, channel) VALUES ('Late network', 'social')`)
  assert.is((await load(path)).loaded, 0)
  const again = await load(path, { again: true })
  assert.equal([again.loaded, again.total, again.rejects_file], [1, { loaded: 3, rejected: 0 }, null])
  assert.equal(await loadedLines(again), [2, 3, 4])
})

test('empty files are refused, faults of a header are named, and a header alone imports no visit', async () => {
  await assert.refuses(() => load(file('')), 'IMPORT_UNREADABLE', /empty/)
  await assert.refuses(() => load(file('\r\n\n')), 'IMPORT_UNREADABLE', /no header/)
  await assert.refuses(
    () => load(file('visited_at,cost,cost\n')),
    'IMPORT_UNREADABLE',
    /landing_page is missing.*cost is there twice/,
  )
  await assert.refuses(() => load(file(Buffer.from(`${header}\n`, 'utf16le'))), 'IMPORT_UNREADABLE', /NUL/)
  for (const text of [header, `${header}\n\n`]) {
    assert.equal(
      { ...(await load(file(text))), file: '', seconds: 0 },
      {
        file: '',
        import_id: null,
        state: 'known',
        loaded: 0,
        rejected: 0,
        total: { loaded: 0, rejected: 0 },
        rejects_file: null,
        seconds: 0,
      },
    )
  }
})

test('an import that is stopped, cut off from Postgres or killed is completed by the next one', async () => {
  const count = 65_000
  const path = file(`${header}\n${lines(count).replace('Search', 'Nobody')}`)
  const stop = new AbortController()
  const progress: Log = { ...quietLog(), info: message => void (message === 'lines are imported' && stop.abort()) }
  await assert.rejects(() => load(path, { log: progress, signal: stop.signal }))
  const terminate: Log = {
    ...quietLog(),
    info(message) {
      if (message !== 'lines are imported') return
      void database.sql(
        `SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database d ON d.oid = database
        WHERE locktype = 'advisory' AND datname = current_database()`,
      )
    },
  }
  await assert.refuses(() => load(path, { log: terminate }), 'POSTGRES_UNREACHABLE')
  const done = await until(() => load(path), { what: 'the lock of the broken connection' })
  assert.is(done.state, 'resumed')
  assert.equal(done.total, { loaded: count - 1, rejected: 1 })
  assert.is(new Set(await loadedLines(done)).size, count - 1)

  const killed = file(`${header}\n${lines(60_000, 5)}`)
  const child = command(killed)
  await until(() => child.written().includes('lines are imported'), { what: 'a first batch' })
  process.kill(child.pid, 'SIGKILL')
  await child.ended
  const { code, stdout } = await until(
    async () => {
      const ended = await command(killed, '--json').ended
      return ended.code !== 2 && ended
    },
    { what: 'the next import', timeoutMs: 60_000 },
  )
  assert.is(code, 0)
  assert.is((JSON.parse(stdout) as ImportResult).total.loaded, 60_000)
})

test('only one import runs at a time', async () => {
  const connection = await database.connect()
  await connection.query("SELECT pg_advisory_lock(hashtext('millrace: imports'))")
  await assert.refuses(() => load(file(`${header}\n${lines(1)}`)), 'IMPORT_RUNNING')
  await connection.query("SELECT pg_advisory_unlock(hashtext('millrace: imports'))")
})

test('memory is bounded for a line of 300 MB and for many lines; exit code 1 reports rejected lines', async () => {
  const path = file('')
  const handle = await open(path, 'w')
  await handle.write(`${header}\n${lines(50_000)}`)
  for (let piece = 0; piece < 300; piece++) await handle.write('x'.repeat(1 << 20))
  await handle.write(`\n${lines(1)}`)
  await handle.close()
  const child = command(path, '--json')
  let most = 0
  const timer = setInterval(() => {
    const status = existsSync(`/proc/${child.pid}/status`) ? readFileSync(`/proc/${child.pid}/status`, 'utf8') : ''
    most = Math.max(most, Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024)
  }, 100)
  const { code, stdout, stderr } = await child.ended
  clearInterval(timer)
  assert.is(code, 1, stderr)
  assert.equal((JSON.parse(stdout) as ImportResult).total, { loaded: 50_001, rejected: 1 })
  assert.ok(process.platform !== 'linux' || (most > 50 && most < 330), `${most} MB`)
})

test.run()

// test/long/kafka-java.test: the class archive that a broker leaves, and a damaged archive.

import {
  chmodSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { kafkaJars } from '../../stack/kafka/jars.ts'
import { sharedCache } from '../../stack/packages.ts'
import { readState } from '../../stack/state.ts'
import { down, reset, up } from '../../stack/up.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { quietLog } from '../support/servers/services.ts'

const directory = mkdtempSync(join(tmpdir(), 'java-'))
const cache = mkdtempSync(join(tmpdir(), 'cache-'))
const log = quietLog()
const test = suite('classes of Kafka', { timeoutMs: 120_000 })

/** Starts and stops a broker. Returns whether it mapped the archive. */
async function useOnce(archive: string): Promise<boolean> {
  await up({ directory, log, components: ['kafka'], cache })
  const maps = readFileSync(`/proc/${readState(directory).kafka!.pid}/maps`, 'utf8')
  await down(directory, log)
  return maps.includes(join(cache, archive))
}

const files = () => readdirSync(cache).filter(name => name.includes('.jsa'))

test.before(async () => {
  const shared = sharedCache()
  const { signal } = new AbortController()
  const jars = await kafkaJars({ directory, cache: shared, signal, log })
  symlinkSync(jars, join(cache, basename(jars)))
})

test.after(async () => {
  await reset(directory, log)
  for (const each of [directory, cache]) rmSync(each, { recursive: true })
})

test('the first broker writes the class archive, the next ones map it, and an incomplete archive is removed', async () => {
  assert.not(await useOnce('.jsa'))
  const [dump] = files()
  const archive = dump!.replace(/\.[0-9a-f]{12}$/, '')
  writeFileSync(join(cache, `${archive}.0123456789ab`), Buffer.alloc(1 << 20))
  assert.ok(await useOnce(archive))
  assert.equal(files(), [archive])
})

test('a broker ignores a damaged archive', async () => {
  const [archive] = files()
  chmodSync(join(cache, archive!), 0o644)
  const file = openSync(join(cache, archive!), 'r+')
  writeSync(file, Buffer.alloc(1 << 20, 0xa5), 0, 1 << 20, 1 << 20)
  assert.not(await useOnce(archive!))
})

test.run()

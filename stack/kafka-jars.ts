// stack/kafka-jars: the Kafka broker's jars, downloaded once for all checkouts.
// May know: stack, runtime.

import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { StackContext } from './component.ts'
import { mavenError } from './java.ts'
import { withLock } from './lock.ts'
import { assetPath } from './packages.ts'

const run = promisify(execFile)
const version = '4.1.0'
const manifestName = 'complete.json'

/** Directory with every jar of the broker, complete. */
export async function kafkaJars(context: StackContext): Promise<string> {
  const parent = await writableParent(context)
  const jars = join(parent, `kafka-${version}`)
  if (await isComplete(jars)) return jars
  const onWait = (pid: number) => context.log.info('waiting for another download of Kafka', { pid })
  const lock = join(parent, `kafka-${version}.lock`)
  await withLock(lock, { timeoutMs: 600_000, signal: context.signal, onWait }, async () => {
    if (await isComplete(jars)) return
    context.log.info('downloading Kafka with Maven, once for all checkouts', { to: jars })
    await removeLeftovers(parent)
    await download(parent, jars, context.signal)
  })
  return jars
}

async function writableParent(context: StackContext): Promise<string> {
  for (const parent of [context.cache, join(context.directory, 'cache')]) {
    const probe = await mkdir(parent, { recursive: true })
      .then(() => mkdtemp(join(parent, 'probe-')))
      .catch(() => undefined)
    if (probe === undefined) continue
    await rm(probe, { recursive: true })
    return parent
  }
  return context.cache
}

/** The manifest is written last and lists every file with its size, so that a damaged cache is noticed. */
async function isComplete(jars: string): Promise<boolean> {
  try {
    const manifest = JSON.parse(await readFile(join(jars, manifestName), 'utf8')) as Record<string, number>
    for (const [name, size] of Object.entries(manifest)) {
      if ((await stat(join(jars, name))).size !== size) return false
    }
    return true
  } catch {
    return false
  }
}

async function download(parent: string, jars: string, signal: AbortSignal): Promise<void> {
  const temporary = await mkdtemp(join(parent, 'kafka-new-'))
  const goal = 'dependency:copy-dependencies'
  const options = [`-DoutputDirectory=${temporary}`, '-DincludeScope=runtime']
  try {
    await run('mvn', ['-q', '-B', '-f', assetPath('stack/kafka/pom.xml'), goal, ...options], { signal, cwd: parent })
    const sizes: Record<string, number> = {}
    for (const name of await readdir(temporary)) sizes[name] = (await stat(join(temporary, name))).size
    await writeFile(join(temporary, manifestName), JSON.stringify(sizes, undefined, 1))
    await rm(jars, { recursive: true, force: true })
    await rename(temporary, jars)
  } catch (error) {
    await rm(temporary, { recursive: true, force: true })
    signal.throwIfAborted()
    throw mavenError(error)
  }
}

async function removeLeftovers(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    if (name.startsWith('kafka-new-')) await rm(join(parent, name), { recursive: true, force: true })
  }
}

// stack/kafka-jars: the Kafka broker's jars, downloaded once for all checkouts.
// May know: stack, runtime.

import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { buildDirectory } from './build.ts'
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
    await download(jars, context.signal)
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

async function download(jars: string, signal: AbortSignal): Promise<void> {
  const pom = assetPath('stack/kafka/pom.xml')
  try {
    await buildDirectory(jars, async temporary => {
      const options = ['-q', '-B', `-DoutputDirectory=${temporary}`, '-DincludeScope=runtime', '-f', pom]
      await run('mvn', [...options, 'dependency:copy-dependencies'], { signal, cwd: temporary })
      const sizes: Record<string, number> = {}
      for (const name of await readdir(temporary)) sizes[name] = (await stat(join(temporary, name))).size
      await writeFile(join(temporary, manifestName), JSON.stringify(sizes, undefined, 1))
    })
  } catch (error) {
    signal.throwIfAborted()
    throw mavenError(error)
  }
}

// stack/kafka/jars: the Kafka broker's jars, downloaded once for all checkouts.

import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { packagePath, replaceDirectory } from '../../runtime/files.ts'
import type { StackContext } from '../component.ts'
import { withLock } from '../lock.ts'
import { mavenError } from './java.ts'

const run = promisify(execFile)
const version = '4.1.0'
const manifestName = 'complete.json'

/**
 * Directory with all jars of the broker: in the shared cache, or in the stack's own if that is
 * read-only.
 */
export async function kafkaJars(context: StackContext): Promise<string> {
  const own = join(context.directory, 'cache')
  for (const parent of [context.cache, own]) {
    if (await isComplete(jarsIn(parent))) return jarsIn(parent)
  }
  const parent = (await isWritable(context.cache)) ? context.cache : own
  const jars = jarsIn(parent)
  const onWait = (pid: number) => context.log.info('waiting for another download of Kafka', { pid })
  await withLock(`${jars}.lock`, { timeoutMs: 600_000, signal: context.signal, onWait }, async () => {
    if (await isComplete(jars)) return
    context.log.info('downloading Kafka with Maven, once for all checkouts', { to: jars })
    await download(jars, context.signal)
  })
  return jars
}

function jarsIn(parent: string): string {
  return join(parent, `kafka-${version}`)
}

/** Tries to write, because permissions do not show read-only file systems and quotas. */
async function isWritable(directory: string): Promise<boolean> {
  try {
    await mkdir(directory, { recursive: true })
    await rm(await mkdtemp(join(directory, 'probe-')), { recursive: true })
    return true
  } catch {
    return false
  }
}

/**
 * The manifest is written last and lists every file with its size, so a damaged cache is detected.
 */
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
  const pom = packagePath('stack/kafka/pom.xml')
  try {
    await replaceDirectory(jars, async temporary => {
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

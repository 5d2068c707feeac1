// stack/kafka/jvm: how the JVM runs Kafka's programs: compiler, log, and the classes as an earlier broker left them.

import { randomBytes } from 'node:crypto'
import { access, constants, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { packagePath } from '../../runtime/files.ts'
import { requireJava } from './java.ts'

/** Arguments of java that come before the arguments of the program. @throws MillraceError STACK_PREREQUISITE */
export async function kafkaJava(jars: string, program: string, memory: readonly string[]): Promise<string[]> {
  // The second compiler costs a local broker more than it gives back, under full load too.
  const compiler = '-XX:TieredStopAtLevel=1'
  const log = `-Dlog4j2.configurationFile=${packagePath('stack/kafka/log4j2.properties')}`
  // Other makers' JVMs may not know the options for the classes, which are no loss.
  const classes = ['-XX:+IgnoreUnrecognizedVMOptions', ...(await sharedClasses(jars, program))]
  return [compiler, ...classes, ...memory, log, '-cp', join(jars, '*'), program]
}

/**
 * With its classes mapped from an archive, a broker starts in half the time. Where there is none for this build of Java, the broker leaves one
 * beside the jars when it is stopped. The JVM verifies the archive, and goes without one that does not fit.
 * @see https://docs.oracle.com/en/java/javase/17/vm/class-data-sharing.html
 */
async function sharedClasses(jars: string, program: string): Promise<string[]> {
  const archive = `${jars}-java-${await requireJava()}.jsa`
  if (await hasArchive(archive)) return [`-XX:SharedArchiveFile=${archive}`, '-XX:+VerifySharedSpaces']
  if (program !== 'kafka.Kafka' || !(await succeeds(access(dirname(archive), constants.W_OK)))) return []
  // Two brokers may stop at the same time: each dumps to a file of its own.
  return [`-XX:ArchiveClassesAtExit=${archive}.${randomBytes(6).toString('hex')}`, '-Xlog:cds=error']
}

/** Whether an archive is there, be it a complete dump that is put in place now. Dumps that were cut off are deleted then. */
async function hasArchive(archive: string): Promise<boolean> {
  const directory = dirname(archive)
  const dumps = (await readdir(directory)).filter(name => name.startsWith(`${basename(archive)}.`))
  for (const dump of dumps.map(name => join(directory, name))) {
    // Whoever starts in this moment may have adopted it already.
    if (await isComplete(dump).catch(() => false)) await rename(dump, archive).catch(() => {})
  }
  if (!(await succeeds(stat(archive)))) return false
  for (const name of dumps) await rm(join(directory, name), { force: true })
  return true
}

/** The JVM writes the header last, and does not survive a truncated archive: what counts is on the disk. */
async function isComplete(dump: string): Promise<boolean> {
  const file = await open(dump)
  try {
    const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0)
    await file.sync()
    return buffer.readUInt32LE() !== 0
  } finally {
    await file.close()
  }
}

async function succeeds(work: Promise<unknown>): Promise<boolean> {
  return work.then(
    () => true,
    () => false,
  )
}

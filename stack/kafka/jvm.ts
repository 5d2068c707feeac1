// stack/kafka/jvm: the JVM's options for Kafka's programs: compiler, log, archive of classes.

import { randomBytes } from 'node:crypto'
import { access, constants, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { packagePath } from '../../runtime/files.ts'
import { requireJava } from './java.ts'

/** Arguments of java before those of the program. @throws MillraceError STACK_PREREQUISITE */
export async function kafkaJava(jars: string, program: string, memory: readonly string[]): Promise<string[]> {
  // The second JIT compiler costs a local broker more CPU than it saves, also under full load.
  const compiler = '-XX:TieredStopAtLevel=1'
  const log = `-Dlog4j2.configurationFile=${packagePath('stack/kafka/log4j2.properties')}`
  // JVMs of other vendors may not know the archive options; the archive is optional.
  const classes = ['-XX:+IgnoreUnrecognizedVMOptions', ...(await sharedClasses(jars, program))]
  return [compiler, ...classes, ...memory, log, '-cp', join(jars, '*'), program]
}

/**
 * A broker starts in half the time if its classes are mapped from an archive. If there is no
 * archive for this build of Java, the broker writes one beside the jars when it stops. The JVM
 * verifies the archive and ignores one that does not match.
 * @see https://docs.oracle.com/en/java/javase/17/vm/class-data-sharing.html
 */
async function sharedClasses(jars: string, program: string): Promise<string[]> {
  const archive = `${jars}-java-${await requireJava()}.jsa`
  if (await hasArchive(archive)) return [`-XX:SharedArchiveFile=${archive}`, '-XX:+VerifySharedSpaces']
  if (program !== 'kafka.Kafka' || !(await succeeds(access(dirname(archive), constants.W_OK)))) return []
  // Two brokers can stop at the same time, so each writes its own file.
  return [`-XX:ArchiveClassesAtExit=${archive}.${randomBytes(6).toString('hex')}`, '-Xlog:cds=error']
}

/** Whether an archive exists. Moves a complete dump into place and deletes interrupted dumps. */
async function hasArchive(archive: string): Promise<boolean> {
  const directory = dirname(archive)
  const dumps = (await readdir(directory)).filter(name => name.startsWith(`${basename(archive)}.`))
  for (const dump of dumps.map(name => join(directory, name))) {
    // Another broker that starts now may have moved it.
    if (await isComplete(dump).catch(() => false)) await rename(dump, archive).catch(() => {})
  }
  if (!(await succeeds(stat(archive)))) return false
  for (const name of dumps) await rm(join(directory, name), { force: true })
  return true
}

/** Checks the size, because the JVM crashes on a truncated archive. It writes the header last. */
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

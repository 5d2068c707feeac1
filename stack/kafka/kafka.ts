// stack/kafka/kafka: an embedded Kafka broker in KRaft mode.

import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { Kafka, logLevel } from 'kafkajs'
import { MillraceError } from '../../runtime/errors.ts'
import { replaceDirectory, replaceFile } from '../../runtime/files.ts'
import type { Command, Ports, Server, StackContext } from '../component.ts'
import { kafkaConfig } from './config.ts'
import { kafkaJars } from './jars.ts'
import { javaProgram, requireJava } from './java.ts'
import { kafkaJava } from './jvm.ts'

const run = promisify(execFile)

export const kafkaServer: Server = {
  name: 'kafka',
  portNames: ['client', 'controller'],
  stopSignal: 'SIGTERM',
  commandLineMarkers: data => ['kafka.Kafka', configPath(data)],
  checkMachine: requireJava,
  prepare,
  command,
  async query(ports, data) {
    const retry = { retries: 0 }
    const brokers = [endpoint(ports)]
    const kafka = new Kafka({
      brokers,
      logLevel: logLevel.NOTHING,
      retry,
      connectionTimeout: 2_000,
      requestTimeout: 5_000,
    })
    const admin = kafka.admin()
    try {
      await admin.connect()
      const cluster = await admin.describeCluster()
      // A fenced broker is not listed.
      if (cluster.brokers.length === 0) throw new Error('no broker is in service yet')
      if (cluster.clusterId !== (await formattedId(data))) throw new Error('the broker of another cluster answers')
    } finally {
      await admin.disconnect().catch(() => {})
    }
  },
  endpoints: ports => ({ kafka: endpoint(ports) }),
}

function endpoint(ports: Ports): string {
  return `127.0.0.1:${ports.client}`
}

/** Beside the log directory, because Kafka accepts only topics in it. */
function configPath(data: string): string {
  return `${data}.properties`
}

async function prepare(context: StackContext, known: string | undefined): Promise<string> {
  const data = known ?? join(context.directory, 'kafka')
  await requireJava()
  const jars = await kafkaJars(context)
  if ((await formattedId(data)) !== undefined) return data
  try {
    await replaceDirectory(data, async temporary => {
      const config = join(temporary, 'format.properties')
      await writeFile(config, kafkaConfig('.', { client: 9092, controller: 9093 }))
      const java = await kafkaJava(jars, 'kafka.tools.StorageTool', ['-Xmx256m'])
      await run(javaProgram(), [...java, 'format', '-t', clusterId(), '-c', config], { cwd: temporary })
      await rm(config)
    })
  } catch (cause) {
    throw new MillraceError('STACK_FAILED', {
      what: `Kafka could not format its storage: ${(cause as Error).message.trim()}`,
      where: data,
      next: 'free disk space or correct the permissions in the message, then run `millrace up` again',
      cause,
    })
  }
  return data
}

async function command(context: StackContext, data: string, ports: Ports): Promise<Command> {
  // Relative to the working directory, because Kafka splits paths at commas and blanks.
  replaceFile(configPath(data), kafkaConfig(basename(data), ports))
  const memory = ['-Xms128m', '-Xmx1g', '-XX:+UseSerialGC', '-XX:+ExitOnOutOfMemoryError']
  const java = await kafkaJava(await kafkaJars(context), 'kafka.Kafka', memory)
  return { file: javaProgram(), args: [...java, configPath(data)], cwd: dirname(data) }
}

/** Sixteen random bytes in Kafka's format: base64url, without a dash at the beginning. */
function clusterId(): string {
  const id = randomBytes(16).toString('base64url')
  return id.startsWith('-') ? clusterId() : id
}

/** The cluster's id from the storage; undefined when the storage was never formatted. */
async function formattedId(data: string): Promise<string | undefined> {
  const text = await readFile(join(data, 'meta.properties'), 'utf8').catch(() => '')
  return /^cluster\.id=(.*)$/m.exec(text)?.[1]
}

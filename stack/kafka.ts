// stack/kafka: a local Kafka broker in KRaft mode.
// May know: stack, runtime.

import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Kafka, logLevel } from 'kafkajs'
import { MillraceError } from '../runtime/errors.ts'
import type { Command, Ports, Server, StackContext } from './component.ts'
import { javaProgram, requireJava } from './java.ts'
import { kafkaConfig } from './kafka-config.ts'
import { kafkaJars } from './kafka-jars.ts'
import { assetPath } from './packages.ts'
import { replaceFile } from './state.ts'

const run = promisify(execFile)

export const kafkaServer: Server = {
  name: 'kafka',
  portNames: ['client', 'controller'],
  stopSignal: 'SIGTERM',
  marks: data => ['kafka.Kafka', configPath(data)],
  prepare,
  command,
  async query(ports) {
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
      // A broker that is still fenced is not listed.
      if ((await admin.describeCluster()).brokers.length === 0) throw new Error('no broker is in service yet')
    } finally {
      await admin.disconnect().catch(() => {})
    }
  },
  endpoints: ports => ({ kafka: endpoint(ports) }),
}

function endpoint(ports: Ports): string {
  return `127.0.0.1:${ports.client}`
}

/** Beside the log directory, in which Kafka accepts topics only. */
function configPath(data: string): string {
  return `${data}.properties`
}

async function prepare(context: StackContext, known: string | undefined): Promise<string> {
  const data = known ?? join(context.directory, 'kafka')
  await requireJava()
  const jars = await kafkaJars(context)
  if (await isFormatted(data)) return data
  await mkdir(context.directory, { recursive: true })
  const temporary = await mkdtemp(`${data}.new-`)
  const config = join(temporary, 'server.properties')
  const log = join(temporary, 'log')
  try {
    await writeFile(config, kafkaConfig(log, { client: 9092, controller: 9093 }))
    const tool = ['kafka.tools.StorageTool', 'format', '-t', clusterId(), '-c', config]
    await run(javaProgram(), [
      '-XX:TieredStopAtLevel=1',
      '-Xmx256m',
      ...loggingOptions(),
      '-cp',
      join(jars, '*'),
      ...tool,
    ])
    await rename(log, data)
  } catch (cause) {
    throw new MillraceError('STACK_FAILED', {
      what: `Kafka could not format its storage: ${(cause as Error).message.trim()}`,
      where: data,
      next: 'free the disk or mend the permissions that the message names, then run `millrace up` again',
      cause,
    })
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
  return data
}

async function command(context: StackContext, data: string, ports: Ports): Promise<Command> {
  replaceFile(configPath(data), kafkaConfig(data, ports))
  const memory = ['-Xms128m', '-Xmx1g', '-XX:+UseSerialGC', '-XX:+ExitOnOutOfMemoryError']
  const jars = join(await kafkaJars(context), '*')
  return {
    file: javaProgram(),
    args: [...memory, ...loggingOptions(), '-cp', jars, 'kafka.Kafka', configPath(data)],
  }
}

function loggingOptions(): string[] {
  return [`-Dlog4j2.configurationFile=${assetPath('stack/kafka/log4j2.properties')}`]
}

/** Sixteen random bytes as Kafka writes them: base64 for URLs, not beginning with a dash. */
function clusterId(): string {
  const id = randomBytes(16).toString('base64url')
  return id.startsWith('-') ? clusterId() : id
}

async function isFormatted(data: string): Promise<boolean> {
  return stat(join(data, 'meta.properties')).then(
    () => true,
    () => false,
  )
}

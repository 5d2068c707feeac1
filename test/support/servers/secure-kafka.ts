// test/support/servers/secure-kafka: a broker that requires TLS and, by listener, a login or a
// client certificate.
// Users: `alice` (PLAIN) may do everything, `bob` (SCRAM-SHA-512) nothing. The password is
// `secret`.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { kafkaConfig } from '../../../stack/kafka/config.ts'
import { kafkaJars } from '../../../stack/kafka/jars.ts'
import { javaProgram } from '../../../stack/kafka/java.ts'
import { kafkaJava } from '../../../stack/kafka/jvm.ts'
import { sharedCache } from '../../../stack/packages.ts'
import { pickPorts } from '../../../stack/ports.ts'
import { type Certificate, makeCertificate } from './certificate.ts'
import { quietLog } from './services.ts'

const run = promisify(execFile)

export interface SecureKafka {
  readonly broker: string
  /** Address of the listener that requires a client certificate instead of a login. */
  readonly mutual: string
  /** Address without TLS, whose metadata names the broker `broker.example`. */
  readonly plain: string
  /** Certificate of the authority that signed the broker's, as PEM. */
  readonly ca: string
  /** The same, as a file. */
  readonly caFile: string
  /** The certificate that `mutual` accepts. Its owner may do everything. */
  readonly client: Certificate
  stop(): Promise<void>
}

type Ports = [number, number, number, number, number]

/**
 * Returns before the broker is ready: connect until it answers.
 * @param further more settings of the broker
 */
export async function startSecureKafka(further: Readonly<Record<string, string>> = {}): Promise<SecureKafka> {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-secure-'))
  const [client, controller, secure, mutual, plain] = (await pickPorts(5)) as Ports
  const pem = makeCertificate(directory, 'broker')
  const ofClient = makeCertificate(directory, 'client')
  const config = join(directory, 'server.properties')
  const listeners = `PLAINTEXT://127.0.0.1:${client},SASL_SSL://127.0.0.1:${secure},SSL://127.0.0.1:${mutual}`
  const settings = {
    'listener.security.protocol.map':
      'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,ELSEWHERE:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL',
    listeners: `${listeners},CONTROLLER://127.0.0.1:${controller},ELSEWHERE://127.0.0.1:${plain}`,
    'advertised.listeners': `${listeners},ELSEWHERE://broker.example:9092`,
    'inter.broker.listener.name': 'PLAINTEXT',
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': pem.keystore,
    'listener.name.ssl.ssl.client.auth': 'required',
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': ofClient.certificate,
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-512',
    'listener.name.sasl_ssl.plain.sasl.jaas.config':
      'org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="secret";',
    'listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config':
      'org.apache.kafka.common.security.scram.ScramLoginModule required;',
    'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    'super.users': 'User:alice;User:CN=client;User:ANONYMOUS',
    ...further,
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`)
  await writeFile(config, kafkaConfig(join(directory, 'log'), { client, controller }) + lines.join(''))
  const cache = sharedCache()
  const signal = new AbortController().signal
  const jars = await kafkaJars({ directory, cache, signal, log: quietLog() })
  const format = [
    ...(await kafkaJava(jars, 'kafka.tools.StorageTool', ['-Xmx256m'])),
    'format',
    '-t',
    'MkU3OEVBNTcwNTJENDM2Qg',
    '-c',
    config,
    ...['--add-scram', 'SCRAM-SHA-512=[name=bob,password=secret]'],
  ]
  await run(javaProgram(), format)
  const java = await kafkaJava(jars, 'kafka.Kafka', ['-Xmx512m'])
  const broker = spawn(javaProgram(), [...java, config], { stdio: 'ignore' })
  return {
    broker: `127.0.0.1:${secure}`,
    mutual: `127.0.0.1:${mutual}`,
    plain: `127.0.0.1:${plain}`,
    ca: await readFile(pem.certificate, 'utf8'),
    caFile: pem.certificate,
    client: ofClient,
    async stop() {
      const exited = once(broker, 'exit')
      broker.kill('SIGKILL')
      await exited
      await rm(directory, { recursive: true, force: true })
    },
  }
}

// test/support/secure-kafka: a broker that wants TLS, a login and permissions.
// May know: runtime/config, stack, node. Users: `alice` (PLAIN) may do everything, `bob` (SCRAM-SHA-512) nothing; the password is `secret`.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { javaProgram } from '../../stack/java.ts'
import { kafkaConfig } from '../../stack/kafka-config.ts'
import { kafkaJars } from '../../stack/kafka-jars.ts'
import { kafkaJava } from '../../stack/kafka-java.ts'
import { sharedCache } from '../../stack/packages.ts'
import { pickPorts } from '../../stack/ports.ts'
import { quietLog } from './services.ts'

const run = promisify(execFile)

export interface SecureKafka {
  readonly broker: string
  /** Certificate of the authority that signed the broker's, as PEM. */
  readonly ca: string
  stop(): Promise<void>
}

/** Not yet ready when it returns: connect until it answers. */
export async function startSecureKafka(): Promise<SecureKafka> {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-secure-'))
  const [client, controller, secure] = (await pickPorts(3)) as [number, number, number]
  const pem = await makeCertificate(directory)
  const config = join(directory, 'server.properties')
  const settings = {
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL',
    listeners: `PLAINTEXT://127.0.0.1:${client},CONTROLLER://127.0.0.1:${controller},SASL_SSL://127.0.0.1:${secure}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${client},SASL_SSL://127.0.0.1:${secure}`,
    'inter.broker.listener.name': 'PLAINTEXT',
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': pem.keystore,
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-512',
    'listener.name.sasl_ssl.plain.sasl.jaas.config':
      'org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="secret";',
    'listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config':
      'org.apache.kafka.common.security.scram.ScramLoginModule required;',
    'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    'super.users': 'User:alice;User:ANONYMOUS',
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`)
  await writeFile(config, kafkaConfig(join(directory, 'log'), { client, controller }) + lines.join(''))
  const cache = sharedCache()
  const signal = new AbortController().signal
  const jars = await kafkaJars({ directory, cache, signal, log: quietLog() })
  const user = 'SCRAM-SHA-512=[name=bob,password=secret]'
  const format = [
    ...(await kafkaJava(jars, 'kafka.tools.StorageTool', ['-Xmx256m'])),
    'format',
    '-t',
    'MkU3OEVBNTcwNTJENDM2Qg',
    '-c',
    config,
    '--add-scram',
    user,
  ]
  await run(javaProgram(), format)
  const java = await kafkaJava(jars, 'kafka.Kafka', ['-Xmx512m'])
  const broker = spawn(javaProgram(), [...java, config], { stdio: 'ignore' })
  return {
    broker: `127.0.0.1:${secure}`,
    ca: await readFile(pem.certificate, 'utf8'),
    async stop() {
      const exited = once(broker, 'exit')
      broker.kill('SIGKILL')
      await exited
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function makeCertificate(directory: string): Promise<{ certificate: string; keystore: string }> {
  const [key, certificate, keystore] = ['key.pem', 'certificate.pem', 'keystore.pem'].map(name => join(directory, name))
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  const files = ['-keyout', key!, '-out', certificate!]
  await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, ...files])
  await writeFile(keystore!, `${await readFile(key!, 'utf8')}${await readFile(certificate!, 'utf8')}`)
  return { certificate: certificate!, keystore: keystore! }
}

// stack/kafka/java: finds the Java and Maven that the embedded Kafka needs.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { environment } from '../../runtime/config/config.ts'
import { MillraceError } from '../../runtime/errors.ts'

const run = promisify(execFile)
const oldest = 17

/** The Java that Maven would use: from JAVA_HOME, else from the PATH. */
export function javaProgram(): string {
  const home = environment().JAVA_HOME
  return home ? join(home, 'bin', 'java') : 'java'
}

/**
 * The exact build, such as `17.0.15+6-Debian-1`.
 * @throws MillraceError STACK_PREREQUISITE when Java is missing or older than 17.
 */
export async function requireJava(): Promise<string> {
  const text = await versionText()
  const version = text === undefined ? undefined : majorVersion(text)
  if (version !== undefined && version >= oldest) return /\(build ([^\s,)]+)/.exec(text!)?.[1] ?? String(version)
  throw new MillraceError('STACK_PREREQUISITE', {
    what: version === undefined ? 'the local Kafka needs Java, and there is none' : `Java ${version} is too old`,
    where: javaProgram(),
    next: `install Java ${oldest} or newer (for example \`apt-get install openjdk-17-jre-headless\`), or name an external Kafka in millrace.yaml`,
  })
}

async function versionText(): Promise<string | undefined> {
  try {
    const { stderr, stdout } = await run(javaProgram(), ['-version'])
    return stderr + stdout
  } catch {
    return undefined
  }
}

/** The major version, such as 17; 8 for "1.8.0". */
function majorVersion(text: string): number | undefined {
  const [, first, second] = /version "(\d+)(?:\.(\d+))?/.exec(text) ?? []
  return first === undefined ? undefined : Number(first === '1' ? second : first)
}

/** The error for a failed run of Maven: Maven is missing, or reports an error. */
export function mavenError(error: unknown): MillraceError {
  const { code, stdout = '', message } = error as { code?: string | number; stdout?: string; message: string }
  if (code === 'ENOENT') {
    return new MillraceError('STACK_PREREQUISITE', {
      what: 'Maven downloads the embedded Kafka, and it is not installed',
      where: '`mvn` on the PATH',
      next: 'install Maven (for example `apt-get install maven`), or name an external Kafka in millrace.yaml',
    })
  }
  const lines = stdout.split('\n').filter(line => line.includes('ERROR'))
  return new MillraceError('STACK_DOWNLOAD', {
    what: `Maven could not resolve Kafka: ${lines[0]?.replace(/^.*ERROR\S*\s*/, '') ?? message}`,
    where: 'stack/kafka/pom.xml',
    next: 'check the network, or name a reachable mirror or proxy in ~/.m2/settings.xml, then run `millrace up` again',
    cause: error,
  })
}

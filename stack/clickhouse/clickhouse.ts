// stack/clickhouse/clickhouse: an embedded ClickHouse server, from the library in npm.

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { packagePath, replaceFile } from '../../runtime/files.ts'
import type { Command, Ports, Server, StackContext } from '../component.ts'
import { logPath } from '../daemon.ts'
import { nativePackage } from '../packages.ts'
import { clickhouseConfig, clickhouseUsers, usersPath } from './config.ts'

/**
 * The library contains ClickHouse's local engine, which listens as long as its query runs. This
 * query sleeps one second per row, for thirty years.
 */
const serve = [
  'SYSTEM START LISTEN HTTP',
  'SYSTEM START LISTEN TCP',
  'SELECT sleepEachRow(1) FROM system.numbers LIMIT 1000000000 ' +
    'SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0 FORMAT Null',
].join('; ')

export const clickhouseServer: Server = {
  name: 'clickhouse',
  portNames: ['http', 'native'],
  stopSignal: 'SIGTERM',
  commandLineMarkers: data => [packagePath('stack/clickhouse/server.mjs'), configOption(data)],
  checkMachine: async () => libraryPath(),
  async prepare(context, known) {
    const data = known ?? join(context.directory, 'clickhouse')
    libraryPath()
    await mkdir(data, { recursive: true })
    return data
  },
  command,
  async query(ports, data) {
    const body = "SELECT value FROM system.server_settings WHERE name = 'path' FORMAT TSVRaw"
    const answer = await fetch(url(ports), { method: 'POST', body, signal: AbortSignal.timeout(5_000) })
    const text = await answer.text()
    if (text !== `${data}/\n`) throw new Error(`ClickHouse answered ${answer.status}: ${text.slice(0, 200)}`)
  },
  endpoints: ports => ({ clickhouse: url(ports), clickhouseNative: `127.0.0.1:${ports.native}` }),
}

function url(ports: Ports): string {
  return `http://127.0.0.1:${ports.http}`
}

async function command(context: StackContext, data: string, ports: Ports): Promise<Command> {
  replaceFile(configPath(data), clickhouseConfig(data, logPath(context.directory, 'clickhouse')))
  replaceFile(usersPath(data), clickhouseUsers)
  return {
    file: process.execPath,
    args: [
      packagePath('stack/clickhouse/server.mjs'),
      libraryPath(),
      configOption(data),
      '--log-level=warning', // the configuration file's level is ignored
      `--http_port=${ports.http}`,
      `--tcp_port=${ports.native}`,
      `--query=${serve}`,
    ],
  }
}

/** Beside the data, because ClickHouse treats directories in its data as databases. */
function configPath(data: string): string {
  return `${data}.xml`
}

function configOption(data: string): string {
  return `--config-file=${configPath(data)}`
}

function libraryPath(): string {
  const libc = process.platform === 'linux' ? '-gnu' : ''
  return join(nativePackage('chdb', `@chdb/lib-${process.platform}-${process.arch}${libc}`, 'ClickHouse'), 'libchdb.so')
}

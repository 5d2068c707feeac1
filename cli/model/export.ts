// cli/model/export: `millrace export DATABASE.VIEW`: the rows of a view as CSV or Parquet.

import { stat } from 'node:fs/promises'
import { extname } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Command, Option } from 'commander'
import { connectClickhouse } from '../../clickhouse/client.ts'
import { clickhouseError } from '../../clickhouse/errors.ts'
import { type ExportFormat, exportFormats, openExport } from '../../clickhouse/export.ts'
import { findStableViews } from '../../clickhouse/stable-views.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { replaceFileFrom } from '../../runtime/files.ts'
import { exitCodes } from '../../runtime/lifecycle.ts'
import { didYouMean } from '../../runtime/suggest.ts'
import { type CommandContext, runs } from '../command.ts'
import { resolveServers } from '../servers.ts'

interface ExportOptions {
  readonly format?: ExportFormat
  readonly where?: string
  readonly output: string
  readonly force?: true
}

const standardOutput = '-'
/** System calls of writes, whose errors name no file. */
const diskCodes = ['ENOSPC', 'EDQUOT', 'EFBIG', 'EIO']

export function exportCommand(program: Command): void {
  program
    .command('export')
    .description('write all rows of a view as CSV or Parquet; after an error no partial file remains')
    .argument('<database.view>', 'the view, such as analytics.daily_sales_stats')
    .addOption(
      new Option('--format <format>', 'default: from the name of the file, else csv').choices([
        ...exportFormats,
      ] as string[]),
    )
    .option('--where <condition>', `rows to write, as a condition in ClickHouse's SQL: "date >= '2025-01-01'"`)
    .option('--output <file>', 'file to write; - is standard output', standardOutput)
    .option('--force', 'replace the file if it exists')
    .action(runs<ExportOptions>('export', exportView))
}

async function exportView(context: CommandContext, options: ExportOptions, [view]: readonly string[]): Promise<number> {
  const { config, log, lifecycle } = context
  const { where, output, force } = options
  const format = options.format ?? formatOf(output)
  if (output === standardOutput) refuseTerminal(format)
  else await refuseTarget(output, force === true)
  const services = await resolveServers(config, log, lifecycle.signal, ['clickhouse'])
  const clickhouse = connectClickhouse(services.clickhouse)
  lifecycle.opened('clickhouse', () => clickhouse.close())
  const names = (await findStableViews(clickhouse, { pipeline: config.name })).map(
    ({ database, name }) => `${database}.${name}`,
  )
  if (!names.includes(view!)) throw unknownView(view!, names)
  const [database, ...rest] = view!.split('.')
  try {
    const request = { database: database!, name: rest.join('.'), format, where }
    const { body, rows } = await openExport(clickhouse, request, lifecycle.signal)
    await write(body, output, lifecycle.signal).catch(error => {
      throw clickhouseError(error, clickhouse.url, `export of ${view}`)
    })
    log.info('exported', { view, format, rows, ...(output === standardOutput ? {} : { file: output }) })
    return exitCodes.ok
  } catch (error) {
    // A stopped service has done its work. A stopped export has not.
    if (lifecycle.signal.aborted) return exitCodes.interrupted
    throw error
  }
}

function formatOf(output: string): ExportFormat {
  return exportFormats.find(format => extname(output).toLowerCase() === `.${format}`) ?? 'csv'
}

function refuseTerminal(format: ExportFormat): void {
  if (format !== 'parquet' || !process.stdout.isTTY) return
  throw new MillraceError('USAGE', {
    what: 'Parquet is binary and cannot be shown in a terminal',
    where: '--format parquet',
    next: 'name a file: --output report.parquet',
  })
}

/** @throws {MillraceError} USAGE when the file exists and may not be replaced, or is not a file */
async function refuseTarget(output: string, force: boolean): Promise<void> {
  const known = await stat(output).catch(() => undefined)
  if (known === undefined || (force && known.isFile())) return
  throw new MillraceError('USAGE', {
    what: known.isFile() ? 'the file exists already' : 'what is there is no file',
    where: output,
    next: known.isFile() ? 'name another one, or replace it with --force' : 'name a file, or - for standard output',
  })
}

function unknownView(view: string, names: readonly string[]): MillraceError {
  return new MillraceError('NOT_FOUND', {
    what: `there is no view ${view}.${didYouMean(view, names)}`,
    next:
      names.length === 0
        ? 'nothing is published yet: wait until the initial load is visible (millrace status)'
        : `name one of: ${[...names].sort().join(', ')}`,
  })
}

/** The file gets its name only when it is complete. */
async function write(body: Readable, output: string, signal: AbortSignal): Promise<void> {
  if (output === standardOutput) return pipeline(body, process.stdout, { signal, end: false })
  await replaceFileFrom(output, body, signal).catch(error => {
    throw unwritten(output, error)
  })
}

/** Wraps an error of the file. Errors of the network pass unchanged. */
function unwritten(output: string, error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { path, code = '' } = error as NodeJS.ErrnoException
  if (path === undefined && !diskCodes.includes(code)) return error
  return new MillraceError('USAGE', {
    what: `the file cannot be written: ${error.message}`,
    where: output,
    next: 'name a file in a directory that exists and has free space; no partial file was left',
    cause: error,
  })
}

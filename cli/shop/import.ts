// cli/shop/import: `millrace import traffic FILE…`: imports files of visits into Postgres.

import { basename, dirname, join } from 'node:path'
import type { Command } from 'commander'
import { ensureTable } from '../../generator/database/schema.ts'
import { type ImportResult, importTraffic } from '../../import/traffic.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { exitCodes } from '../../runtime/lifecycle.ts'
import { type CommandContext, printLine, runs } from '../command.ts'
import { sourceUrl } from '../servers.ts'

interface ImportFlags {
  readonly new?: true
  readonly again?: true
  readonly rejects?: string
  readonly json?: true
}

export function importCommand(program: Command): void {
  program
    .command('import')
    .description('import files into Postgres, whose changes are then captured')
    .command('traffic')
    .description('import CSV files of visits, each line once; write invalid lines to a file with the reason')
    .argument('<files...>', 'CSV files; docs/how-to/import.md describes the format')
    .option('--new', 'import all lines, also if a file with the same name or the same first lines was imported')
    .option('--again', 'look at every line again, after missing customers or traffic sources were added')
    .option(
      '--rejects <directory>',
      'directory for rejected lines (default: that of the file, else the data directory)',
    )
    .option('--json', 'print one line of JSON for each file')
    .action(runs<ImportFlags>('import', runImport))
}

async function runImport(context: CommandContext, flags: ImportFlags, files: readonly string[]): Promise<number> {
  const { config, log, lifecycle } = context
  const url = await sourceUrl(context)
  await ensureTable(url, 'imports.files', log)
  let code: number = exitCodes.ok
  for (const path of files) {
    const rejectsIn = flags.rejects === undefined ? [dirname(path), join(config.directory, 'imports')] : [flags.rejects]
    const how = { isNew: flags.new === true, again: flags.again === true }
    try {
      const result = await importTraffic({ url, path, rejectsIn, ...how, log, signal: lifecycle.signal })
      if (flags.json) printLine(result)
      else process.stdout.write(`${describe(result)}\n`)
      if (result.total.rejected > 0 && code === exitCodes.ok) code = exitCodes.found
    } catch (error) {
      // An error in one file does not keep the other files from being imported.
      if (!(error instanceof MillraceError && error.code.startsWith('IMPORT_'))) throw error
      const { code: reason, message, where, next } = error
      if (flags.json) printLine({ file: basename(path), error: { code: reason, message, where, next } })
      process.stderr.write(`${error.toText()}\n`)
      code = exitCodes.failed
    }
  }
  return code
}

function describe({ file, state, loaded, rejected, total, rejects_file, seconds }: ImportResult): string {
  const aside = rejects_file === null ? '' : `; ${total.rejected} rejected lines are in ${rejects_file}`
  return `${file} (${state}): ${loaded} lines loaded, ${rejected} rejected in ${seconds} s${aside}`
}

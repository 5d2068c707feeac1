// test/support/pipelines/dbt: dbt with its ClickHouse adapter, installed once for all checkouts,
// and the dbt project of the model.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { dbtPackage } from '../../../cli/model/dbt-package.ts'
import { loadExpectations } from '../../../cli/model/expectations.ts'
import { describeModel } from '../../../modeling/describe.ts'
import { environment } from '../../../runtime/config/config.ts'
import { replaceDirectory } from '../../../runtime/files.ts'
import { withLock } from '../../../stack/lock.ts'
import { sharedCache } from '../../../stack/packages.ts'
import { loadChecks } from '../../../verify/checks.ts'
import { projectRoot } from '../harness/root.ts'
import { skip } from '../harness/suite.ts'
import { salesTables } from './sales-shop.ts'
import type { SalesWarehouse } from './sales-warehouse.ts'

const run = promisify(execFile)
const requirements = join(projectRoot, 'dbt/requirements.txt')
const installLimitMs = 240_000

export const dbtProject = join(projectRoot, 'dbt')

export interface DbtPlace {
  readonly directory: string
  readonly env: Readonly<Record<string, string>>
  readonly project?: string
}

export interface DbtRun {
  readonly code: number
  readonly output: string
}

/**
 * Directory of the pinned packages, for `PYTHONPATH`. Skips the test without Python ≥ 3.10 and pip.
 */
export async function installDbt(): Promise<string> {
  const version = await pythonVersion()
  const pinned = createHash('sha256').update(readFileSync(requirements)).update(version).digest('hex').slice(0, 16)
  const cache = sharedCache()
  const packages = join(cache, `dbt-${pinned}`)
  mkdirSync(cache, { recursive: true })
  const lock = { timeoutMs: installLimitMs, signal: AbortSignal.timeout(installLimitMs), onWait: () => {} }
  await withLock(`${packages}.lock`, lock, async () => {
    if (existsSync(packages)) return
    await replaceDirectory(packages, async temporary => {
      const options = ['--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary', ':all:']
      await run('python3', ['-m', 'pip', 'install', ...options, '--target', temporary, '-r', requirements])
    })
  })
  return packages
}

async function pythonVersion(): Promise<string> {
  const script = 'import pip, sys; print(sys.implementation.cache_tag); sys.exit(sys.version_info < (3, 10))'
  const { stdout } = await run('python3', ['-c', script]).catch(() => skip('Python 3.10 or newer with pip is missing'))
  return stdout.trim()
}

/** Runs `dbt ARGS` on the project, or on a copy of it. dbt writes its output to `directory`. */
export async function runDbt(
  packages: string,
  args: readonly string[],
  { directory, env, project = dbtProject }: DbtPlace,
): Promise<DbtRun> {
  const places = [
    '--project-dir',
    project,
    '--profiles-dir',
    project,
    '--target-path',
    directory,
    '--log-path',
    directory,
  ]
  const main = ['-c', 'from dbt.cli.main import cli; cli()', '--no-use-colors', ...args, ...places]
  const options = { env: { ...environment(), ...env, PYTHONPATH: packages, PYTHONDONTWRITEBYTECODE: '1' } }
  try {
    return { code: 0, output: (await run('python3', main, options)).stdout }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, output: `${stdout}${stderr}` }
  }
}

/** Generated files of the project, by path. @param comment replaces every comment */
export async function dbtFiles(
  { model, database, admin }: SalesWarehouse,
  comment?: string,
): Promise<Map<string, string>> {
  const checks = loadChecks(model, 'UTC')
  const objects = [...(await describeModel(admin, await salesTables(database)))].map(([name, object]) => {
    const columns = object.columns.map(column => (comment === undefined ? column : { ...column, comment }))
    return [name, { ...object, columns, ...(comment === undefined ? {} : { comment }) }] as const
  })
  const reports = checks.map(({ name }) => name)
  return dbtPackage({ model, reports, expectations: loadExpectations(model, checks), objects: new Map(objects) })
}

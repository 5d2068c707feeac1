// runtime/config/config: the configuration, from flags over environment over file over defaults.
// No other file reads process.env.

import { existsSync, readFileSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import type { z } from 'zod'
import { MillraceError } from '../errors.ts'
import { checkTogether } from './checks.ts'
import { type ConfigFile, type Environment, readConfigText } from './file.ts'
import { explainIssue, type Fault } from './issue.ts'
import { assign, fromEnvironment, fromFlags } from './overrides.ts'
import { configSchema } from './schema.ts'
import { settings } from './settings.ts'
import type { TlsFiles } from './tls-files.ts'

/**
 * The whole configuration. runtime/config/schema has the meaning and the default of each setting.
 */
export type Config = z.output<typeof configSchema>

export interface TableOptions {
  /** Columns that determine the partition; undefined means the primary key. */
  readonly partitionKey: readonly string[] | undefined
  readonly group: string | undefined
  readonly onError: 'stop' | 'dead-letter'
  /** Whether ClickHouse keeps every version of its rows. */
  readonly history: boolean
  /** Columns that are sent as exact text. */
  readonly text: readonly string[]
  readonly partitions: number
  /** Every column must be classified. */
  readonly personal: boolean
  readonly columns: Readonly<Record<string, Policy>>
}

/** Which form of a column's values leaves the source. */
export type Policy = 'keep' | 'drop' | 'mask' | 'hash'

export interface ConfigInput {
  /** Path of the file; without it `MILLRACE_CONFIG`, else `millrace.yaml` where it exists. */
  readonly file?: string | undefined
  /** Values from the command line by key, such as `source.readers`. */
  readonly flags?: Readonly<Record<string, string>>
  readonly env: Environment
  readonly cwd: string
}

/** The environment of this process. */
export function environment(): NodeJS.ProcessEnv {
  return process.env
}

/**
 * The whole configuration, checked. Paths in it are absolute: those of flags and environment count
 * from the working directory, all others from the file's.
 * @throws {MillraceError} CONFIG_INVALID naming every fault with its line and column, variable or
 *   flag
 */
export function loadConfig({ file, flags = {}, env, cwd }: ConfigInput): Config {
  const path = findFile(file ?? env.MILLRACE_CONFIG, cwd)
  const read = path === undefined ? undefined : readConfigText(shortPath(path, cwd), readFileSync(path, 'utf8'), env)
  const values = structuredClone(read?.values ?? {})
  const origins = new Map<string, string>()
  for (const setting of settings) {
    const text = setting.path.reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], values)
    if (typeof text === 'string' && read?.interpolated.has(setting.key)) assign(values, setting, text)
  }
  for (const { setting, text } of fromEnvironment(env)) {
    assign(values, setting, text)
    origins.set(setting.key, `environment ${setting.variable}`)
  }
  for (const { setting, text } of fromFlags(flags)) {
    assign(values, setting, text)
    origins.set(setting.key, 'command line')
  }
  const parsed = configSchema.safeParse(values)
  if (!parsed.success) {
    throw invalid(
      parsed.error.issues.flatMap(issue => explainIssue(issue, values)),
      origins,
      read,
    )
  }
  const base = path === undefined ? cwd : dirname(path)
  const config = withAbsolutePaths(parsed.data, key => (origins.has(key) ? cwd : base))
  const faults = checkTogether(config, env)
  if (faults.length > 0) throw invalid(faults, origins, read)
  return config
}

function findFile(named: string | undefined, cwd: string): string | undefined {
  const path = resolve(cwd, named || 'millrace.yaml')
  if (existsSync(path)) return path
  if (!named) return undefined
  throw new MillraceError('CONFIG_INVALID', {
    what: 'there is no such configuration file',
    where: path,
    next: 'correct --config or MILLRACE_CONFIG',
  })
}

function shortPath(path: string, cwd: string): string {
  const short = relative(cwd, path)
  return short.startsWith('..') ? path : short
}

function invalid(faults: readonly Fault[], origins: Map<string, string>, file: ConfigFile | undefined): MillraceError {
  const lines = faults.map(({ path, atKey, text }) => {
    const key = path.map(String).join('.')
    const origin = origins.get(key) ?? file?.locate(path, atKey) ?? 'configuration'
    return `${origin} ${key}: ${text}`
  })
  return new MillraceError('CONFIG_INVALID', {
    what: lines.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).join('\n  '),
    next: 'correct the configuration and start again; millrace config check tries it',
  })
}

function withAbsolutePaths(config: Config, baseOf: (key: string) => string): Config {
  const { directory, model, kafka, clickhouse } = config
  const files = (section: string, paths: TlsFiles) =>
    Object.fromEntries(
      Object.entries(paths).map(([file, path]) => [file, path && resolve(baseOf(`${section}.${file}`), path)]),
    )
  return {
    ...config,
    directory: resolve(baseOf('directory'), directory),
    ...(model === undefined ? {} : { model: resolve(baseOf('model'), model) }),
    kafka: { ...kafka, tls: typeof kafka.tls === 'object' ? files('kafka.tls', kafka.tls) : kafka.tls },
    clickhouse: clickhouse.tls ? { ...clickhouse, tls: files('clickhouse.tls', clickhouse.tls) } : clickhouse,
  }
}

/** The options of a table from its most specific entry. */
export interface TableEntry {
  /** Whether the entry is the table's own name instead of a pattern. */
  readonly isNamed: boolean
  /** False for a table that is excluded. */
  readonly capture: boolean
  readonly options: TableOptions
}

/** The name of a table in the configuration: `schema.table`, without quoting. */
export function entryName({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return `${schema}.${name}`
}

/**
 * The most specific entry: the exact name, else the pattern with most literal characters before its
 * first `*`.
 */
export function tableEntry(config: Config, schema: string, table: string): TableEntry | undefined {
  const name = entryName({ schema, name: table })
  const isNamed = Object.hasOwn(config.tables, name)
  const key = isNamed ? name : patternsOf(config).find(({ expression }) => expression.test(name))?.pattern
  if (key === undefined) return undefined
  const entry = config.tables[key]!
  const { partitions = config.kafka.partitions, personal = false, columns = {}, capture = true, ...rest } = entry
  const { partitionKey, group, onError, history, text } = rest
  const options = { partitionKey, group, onError, history, text, partitions, personal, columns }
  return { isNamed, capture, options }
}

/** The options of a table to capture. */
export function tableOptions(config: Config, schema: string, table: string): TableOptions | undefined {
  const entry = tableEntry(config, schema, table)
  return entry?.capture ? entry.options : undefined
}

interface Pattern {
  readonly pattern: string
  readonly expression: RegExp
}

/** Compiled once, since every table of the database is matched against them. */
const patternsByTables = new WeakMap<Config['tables'], readonly Pattern[]>()

/** The most specific first. */
function patternsOf({ tables }: Config): readonly Pattern[] {
  const known = patternsByTables.get(tables)
  if (known) return known
  const patterns = Object.keys(tables).filter(key => key.includes('*'))
  patterns.sort((a, b) => b.indexOf('*') - a.indexOf('*') || b.length - a.length || (a < b ? -1 : 1))
  const compiled = patterns.map(pattern => ({ pattern, expression: asExpression(pattern) }))
  patternsByTables.set(tables, compiled)
  return compiled
}

function asExpression(pattern: string): RegExp {
  const literal = pattern.split('*').map(part => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
  return new RegExp(`^${literal.join('.*')}$`, 's')
}

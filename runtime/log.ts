// runtime/log: one line per event, JSON for machines and short text for a terminal.
// Row values are never logged; callers pass names, positions and counts.

import { indented, oneLine } from './printable.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
type LogFields = Readonly<Record<string, string | number | boolean | undefined>>

export interface Log {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}

const ranks: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 }

/** A log that writes to stderr, so that stdout stays free for data. */
export function createLog(component: string, level: LogLevel = 'info', asJson = !process.stderr.isTTY): Log {
  const write = (at: LogLevel, message: string, fields: LogFields = {}) => {
    if (ranks[at] < ranks[level]) return
    const time = new Date().toISOString()
    const line = asJson
      ? JSON.stringify({ time, level: at, component, msg: message, ...fields })
      : `${time.slice(11, 23)} ${component} ${at === 'info' ? '' : `${at} `}${indented(message, '    ')}${formatFields(fields)}`
    process.stderr.write(`${line}\n`)
  }
  return {
    debug: (message, fields) => write('debug', message, fields),
    info: (message, fields) => write('info', message, fields),
    warn: (message, fields) => write('warn', message, fields),
    error: (message, fields) => write('error', message, fields),
  }
}

/** The log that the configuration asks for. */
export function openLog(
  component: string,
  { level, format }: { level: LogLevel; format: 'auto' | 'json' | 'text' },
): Log {
  return format === 'auto' ? createLog(component, level) : createLog(component, level, format === 'json')
}

/** What holds a quotation mark, as statements do that are to be pasted, stands as it is on a line of its own. */
function formatFields(fields: LogFields): string {
  const texts = Object.entries(fields).flatMap(([key, value]) =>
    value === undefined ? [] : [[key, String(value)] as const],
  )
  const inline = texts.filter(([, text]) => !text.includes('"')).map(([key, text]) => ` ${key}=${formatValue(text)}`)
  const below = texts.filter(([, text]) => text.includes('"')).map(([key, text]) => `\n    ${key}: ${oneLine(text)}`)
  return [...inline, ...below].join('')
}

/** In quotation marks where it could be taken for several fields. */
function formatValue(value: string): string {
  const line = oneLine(value)
  return /\s/.test(value) ? `"${line}"` : line
}

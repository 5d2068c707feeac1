// runtime/log: one line per event, JSON for machines and short text for a terminal.
// Callers never pass values of rows, only names, positions and counts.

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

/** A log on stderr; stdout is for data. */
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

/** The log with the configured level and format. */
export function openLog(
  component: string,
  { level, format }: { level: LogLevel; format: 'auto' | 'json' | 'text' },
): Log {
  return format === 'auto' ? createLog(component, level) : createLog(component, level, format === 'json')
}

/**
 * A text with a quotation mark gets a line of its own without more quoting: it is usually a
 * statement to paste.
 */
function formatFields(fields: LogFields): string {
  const texts = Object.entries(fields).flatMap(([key, value]) =>
    value === undefined ? [] : [[key, String(value)] as const],
  )
  const inline = texts.filter(([, text]) => !text.includes('"')).map(([key, text]) => ` ${key}=${formatValue(text)}`)
  const below = texts.filter(([, text]) => text.includes('"')).map(([key, text]) => `\n    ${key}: ${oneLine(text)}`)
  return [...inline, ...below].join('')
}

/** In quotation marks if it contains white space. */
function formatValue(value: string): string {
  const line = oneLine(value)
  return /\s/.test(value) ? `"${line}"` : line
}

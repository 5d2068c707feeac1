// import/columns: the columns of a file of visits: reads the header and checks the values.

import { MillraceError } from '../runtime/errors.ts'
import { didYouMean } from '../runtime/suggest.ts'

const columnNames = ['visited_at', 'traffic_source', 'customer_id', 'landing_page', 'cost'] as const
type Column = (typeof columnNames)[number]

/** Index of each column. */
export type Header = Readonly<Record<Column, number>>

export interface ImportedVisit {
  /** A timestamp with its time zone, in Postgres' format. */
  readonly visitedAt: string
  /** Name of the traffic source. */
  readonly source: string
  readonly customer: string | null
  readonly page: string
  readonly cost: string
}

const longestPage = 2_048

/**
 * The columns may come in any order.
 * @throws {MillraceError} IMPORT_UNREADABLE naming every fault of the header
 */
export function readHeader(fields: readonly string[], where: string): Header {
  const names = fields.map(field => field.trim())
  const unknown = names.filter(name => !columnNames.some(known => known === name))
  const faults = [
    ...columnNames.filter(name => !names.includes(name)).map(name => `the column ${name} is missing`),
    ...unknown.map(name => `"${shortened(name)}" is no column.${didYouMean(name, columnNames)}`),
    ...new Set(
      names
        .filter((name, at) => names.indexOf(name) < at && !unknown.includes(name))
        .map(name => `${name} is there twice`),
    ),
  ]
  if (faults.length === 0) return Object.fromEntries(columnNames.map(name => [name, names.indexOf(name)])) as Header
  const separator = names.length === 1 ? [';', '\t', '|'].find(sign => names[0]!.includes(sign)) : undefined
  throw new MillraceError('IMPORT_UNREADABLE', {
    what: `the header cannot be used: ${faults.slice(0, 20).join('; ')}`,
    where,
    next:
      separator === undefined
        ? `let the first line name these columns once each, in any order: ${columnNames.join(',')}`
        : 'separate the values by commas, in the header and in every line',
  })
}

/** The visit, or the error of the line. */
export function readVisit(fields: readonly string[], header: Header): ImportedVisit | string {
  if (fields.length !== columnNames.length) {
    return `${fields.length} ${fields.length === 1 ? 'value' : 'values'} where the header names ${columnNames.length} columns`
  }
  const visitedAt = readTime(fields[header.visited_at]!)
  if (!visitedAt.ok) return `visited_at ${visitedAt.fault}`
  const source = fields[header.traffic_source]!
  if (source === '') return 'traffic_source is empty'
  const customer = fields[header.customer_id]!
  if (customer !== '' && !isId(customer))
    return `customer_id "${shortened(customer)}" is no whole number from 1 to ${largestId}`
  const page = fields[header.landing_page]!
  if (page === '') return 'landing_page is empty'
  if (page.length > longestPage) return `landing_page has ${page.length} characters, and ${longestPage} are the most`
  const cost = fields[header.cost]!
  if (!/^\d{1,13}(\.\d{1,2})?$/.test(cost)) {
    return `cost "${shortened(cost)}" is no amount such as 0.35: digits, a point, at most two digits, no sign; 0 when it was free`
  }
  return { visitedAt: visitedAt.text, source, customer: customer === '' ? null : customer, page, cost }
}

const largestId = 9_223_372_036_854_775_807n

function isId(text: string): boolean {
  return /^[1-9]\d{0,18}$/.test(text) && (text.length < 19 || BigInt(text) <= largestId)
}

const timePattern = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,6})?)?(Z|[+-]\d\d(?::?\d\d)?)?$/
const bounds = { least: Date.UTC(2000, 0, 1), end: Date.UTC(2100, 0, 1) }

/** Reads ISO 8601, in UTC without a time zone. Refuses a day that the month does not have. */
function readTime(text: string): { ok: true; text: string } | { ok: false; fault: string } {
  const [, year, month, day, hour, minute, second = '0', zone] = timePattern.exec(text) ?? []
  if (year === undefined) return { ok: false, fault: `"${shortened(text)}" is no time such as 2025-11-21T09:30:00Z` }
  const time = Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second))
  const date = new Date(time)
  const isReal = date.getUTCMonth() === Number(month) - 1 && date.getUTCDate() === Number(day)
  const [offset, offsetHours, offsetMinutes] = offsetOf(zone)
  if (
    !isReal ||
    Number(hour) > 23 ||
    Number(minute) > 59 ||
    Number(second) > 59 ||
    offsetHours > 15 ||
    offsetMinutes > 59
  ) {
    return { ok: false, fault: `"${text}" is no time that exists` }
  }
  const moment = time - offset
  if (moment < bounds.least || moment >= bounds.end)
    return { ok: false, fault: `"${text}" is outside 2000-01-01 to 2099-12-31` }
  return { ok: true, text: zone === undefined ? `${text}Z` : text }
}

/** Milliseconds, hours and minutes. */
function offsetOf(zone: string | undefined): [number, number, number] {
  if (zone === undefined || zone === 'Z') return [0, 0, 0]
  const hours = Number(zone.slice(1, 3))
  const minutes = Number(zone.slice(3).replace(':', '') || 0)
  const sign = zone.startsWith('-') ? -1 : 1
  return [sign * (hours * 60 + minutes) * 60_000, hours, minutes]
}

function shortened(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 60)}…`
}

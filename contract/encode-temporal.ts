// contract/encode-temporal: Postgres' text of dates and timestamps as Avro.
// The session must have `DateStyle = ISO` and `TimeZone = UTC`.

import type { AvroWriter } from './avro-writer.ts'
import { parseDigits, writeProduct } from './encode-scalar.ts'
import { Refusal } from './refusal.ts'
import { temporalLimits } from './types.ts'

const zero = 0x30
const dash = 0x2d
const point = 0x2e
const plus = 0x2b
const letterC = 0x43

/**
 * `date`: days since the Unix epoch.
 * @throws {Refusal} for an infinity, a year BC, and a day that Date32 cannot hold
 */
export function writeDate(writer: AvroWriter, text: Buffer, start: number, end: number): void {
  const days = parseDate(text, start, end)
  const { min, max } = temporalLimits.dateDays
  if (days < min || days > max) throw new Refusal('Date32 in ClickHouse ends at 1900-01-01 and 2299-12-31')
  writer.long(days)
}

/**
 * `timestamp-micros` of a timestamp, or of a timestamptz printed in UTC.
 * @throws {Refusal} for an infinity, a year BC, and an instant that DateTime64(6) cannot hold
 * @throws {TypeError} when the text is in another time zone than UTC: the session has wrong
 *   settings
 */
export function writeTimestamp(writer: AvroWriter, text: Buffer, start: number, end: number): void {
  const days = parseDate(text, start, end)
  let time = start + 10
  while (text[time] !== 0x20) time++
  const seconds =
    days * 86_400 +
    parseDigits(text, time + 1, time + 3) * 3600 +
    parseDigits(text, time + 4, time + 6) * 60 +
    parseDigits(text, time + 7, time + 9)
  const { min, max } = temporalLimits.timestampSeconds
  if (seconds < min || seconds > max) throw new Refusal('DateTime64(6) in ClickHouse ends with the years 1900 and 2299')
  let at = time + 9
  let micros = 0
  if (text[at] === point) {
    let unit = 100_000
    for (at++; at < end && text[at] !== plus && text[at] !== dash; at++, unit /= 10) micros += (text[at]! - zero) * unit
  }
  if (at < end && !isUtc(text, at, end)) {
    throw new TypeError(`timestamp with offset ${text.toString('latin1', at, end)}, but the session is to print UTC`)
  }
  // From the year 2255 on, the microseconds exceed 2^53.
  if (seconds > 9_000_000_000) writeProduct(writer, seconds, 1_000_000, micros)
  else writer.long(seconds * 1_000_000 + micros)
}

function isUtc(text: Buffer, at: number, end: number): boolean {
  return end - at === 3 && text[at] === plus && text[at + 1] === zero && text[at + 2] === zero
}

/** Days since the Unix epoch of the date at the start of the text, proleptic Gregorian. */
function parseDate(text: Buffer, start: number, end: number): number {
  const lead = text[start]! - zero
  if (!(lead >= 0 && lead <= 9)) throw new Refusal('ClickHouse has no infinite date or time')
  if (text[end - 1] === letterC) throw new Refusal('dates and times in ClickHouse begin with the year 1900')
  let yearEnd = start + 4
  while (text[yearEnd] !== dash) yearEnd++
  const year = parseDigits(text, start, yearEnd)
  const month = parseDigits(text, yearEnd + 1, yearEnd + 3)
  const day = parseDigits(text, yearEnd + 4, yearEnd + 6)
  return daysBeforeYear(month > 2 ? year : year - 1) + daysFromMarch[month]! + day - 719_469
}

/** Days from 0000-03-01 to the first of March of the year. */
function daysBeforeYear(year: number): number {
  return year * 365 + Math.floor(year / 4) - Math.floor(year / 100) + Math.floor(year / 400)
}

/**
 * Days from the first of March to the first of each month. A year that begins in March ends with
 * its leap day.
 */
const daysFromMarch = [0, 306, 337, 0, 31, 61, 92, 122, 153, 184, 214, 245, 275]

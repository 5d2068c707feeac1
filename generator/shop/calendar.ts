// generator/shop/calendar: the times of the orders of a history.
// Pure. Times are milliseconds since the Unix epoch.

import { cumulate, type Random } from './random.ts'
import { hourWeights, monthWeights, weekdayWeights } from './shop-constants.ts'

const day = 86_400_000
const hour = 3_600_000
const year = 365.25 * day

/** Growth of the number of orders per year. */
const growthPerYear = 1.35

export interface Span {
  readonly from: number
  readonly until: number
}

/** `orders` times within the span, ascending: growth over the years, season, weekday and hour. */
export function* orderTimes(random: Random, orders: number, { from, until }: Span): Generator<number> {
  const days = daysOf({ from, until })
  const totals = cumulate(days.map(({ weight }) => weight))
  const total = totals.at(-1)!
  let placed = 0
  for (const [index, { start }] of days.entries()) {
    const wanted = Math.round((orders * totals[index]!) / total)
    const times = Array.from({ length: wanted - placed }, () => timeOfDay(random, start, { from, until }))
    placed = wanted
    yield* times.sort((a, b) => a - b)
  }
}

/** The days of the span, weighted by season and weekday, and by the part of the day in the span. */
function daysOf({ from, until }: Span): { start: number; weight: number }[] {
  const days = []
  for (let start = Math.floor(from / day) * day; start < until; start += day) {
    const date = new Date(start)
    const usual = monthWeights[date.getUTCMonth()]! * weekdayWeights[date.getUTCDay()]!
    const share = (Math.min(until, start + day) - Math.max(from, start)) / day
    days.push({ start, weight: usual * share * growthPerYear ** ((start - from) / year) })
  }
  return days
}

const hourTotals = cumulate(hourWeights)

function timeOfDay(random: Random, start: number, { from, until }: Span): number {
  const time = Math.floor(start + (random.weighted(hourTotals) + random.fraction()) * hour)
  if (time >= from && time < until) return time
  const least = Math.max(from, start)
  return Math.floor(least + random.fraction() * (Math.min(until, start + day) - least))
}

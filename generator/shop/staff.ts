// generator/shop/staff: who sells where and when: people are hired, change territory and leave.
// Pure: rows out, nothing executed.

import type { Cell } from '../../postgres/client/copy-in.ts'
import type { Span } from './calendar.ts'
import { personName } from './person.ts'
import { Random } from './random.ts'
import { territories } from './shop-constants.ts'

/** A time that an employee sells in a territory; `until` is Infinity while it lasts. Milliseconds since the Unix epoch. */
export interface Stint {
  readonly id: number
  readonly from: number
  readonly until: number
}

export const employeeColumns = [
  'employee_id',
  'full_name',
  'email',
  'role',
  'manager_id',
  'sales_territory_id',
  'hired_on',
  'left_on',
] as const

export interface Staff {
  /** In the order of `employeeColumns`; everybody stands where they work at the end. */
  readonly rows: readonly (readonly Cell[])[]
  /** By index of the territory. */
  readonly stints: readonly (readonly Stint[])[]
}

const day = 86_400_000
const sellersPerTerritory = 5
const meanStint = 1_100 * day
const meanVacancy = 20 * day
/** Share of ended stints whose holder goes on in another territory; the others leave. */
const transferShare = 0.3

/** The people of the whole span: a manager and five places for sellers in each territory, every place filled anew when it falls vacant. */
export function makeStaff(seed: number, span: Span): Staff {
  const random = new Random(seed, 'staff')
  const stints: Stint[][] = territories.map(() => [])
  const people = territories.map((_, territory) => ({
    name: personName(random),
    territory,
    hired: span.from,
    left: Number.POSITIVE_INFINITY,
  }))
  for (const [id, { hired, left, territory }] of people.entries())
    stints[territory]!.push({ id: id + 1, from: hired, until: left })
  for (let place = 0; place < territories.length * sellersPerTerritory; place++) {
    for (let from = span.from; from < span.until; ) {
      const home = Math.floor(place / sellersPerTerritory)
      const until = stintEnd(random, from, span)
      const person = { name: personName(random), territory: home, hired: from, left: until }
      const id = people.push(person)
      stints[home]!.push({ id, from, until })
      if (until < span.until && random.chance(transferShare)) {
        person.territory = random.integer(0, territories.length - 1)
        person.left = stintEnd(random, until, span)
        stints[person.territory]!.push({ id, from: until, until: person.left })
      }
      from = until + random.waiting(meanVacancy)
    }
  }
  const rows = people.map(({ name, territory, hired, left }, index) => {
    const isManager = index < territories.length
    const role = isManager ? 'sales_manager' : 'sales_person'
    return employeeCells({
      id: index + 1,
      name,
      role,
      territory: territory + 1,
      manager: isManager ? null : territory + 1,
      hired,
      left,
    })
  })
  return { rows, stints }
}

export interface Employee {
  readonly id: number
  readonly name: string
  readonly role: 'sales_manager' | 'sales_person'
  /** Ids as they are in Postgres. */
  readonly territory: number
  readonly manager: number | null
  readonly hired: number
  readonly left: number
}

export function employeeCells({ id, name, role, territory, manager, hired, left }: Employee): Cell[] {
  const leftOn = Number.isFinite(left) ? dateText(left) : null
  return [id, name, `employee${id}@shop.example`, role, manager, territory, dateText(hired), leftOn]
}

/** Those of the stints that cover the time. */
export function present<Held extends Stint>(stints: readonly Held[], at: number): Held[] {
  return stints.filter(({ from, until }) => from <= at && at < until)
}

/** The day in UTC. */
export function dateText(time: number): string {
  return new Date(time).toISOString().slice(0, 10)
}

/** Never when it lies beyond the span. */
function stintEnd(random: Random, from: number, span: Span): number {
  const end = from + random.waiting(meanStint)
  return end < span.until ? end : Number.POSITIVE_INFINITY
}

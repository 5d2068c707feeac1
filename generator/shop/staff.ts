// generator/shop/staff: the employees of a history: they are hired, change territory and leave.
// Pure: returns rows and runs nothing.

import type { Cell } from '../../postgres/client/copy-in.ts'
import type { Span } from './calendar.ts'
import { personName } from './person.ts'
import { Random } from './random.ts'
import { territories } from './shop-constants.ts'

/**
 * A period in which an employee sells in a territory, in milliseconds since the Unix epoch. `until`
 * is Infinity for a current one.
 */
export interface Employment {
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
  /** In the order of `employeeColumns`, with the territory at the end of the history. */
  readonly rows: readonly (readonly Cell[])[]
  /** By index of the territory. */
  readonly employments: readonly (readonly Employment[])[]
}

const day = 86_400_000
const sellersPerTerritory = 5
const meanEmployment = 1_100 * day
const meanVacancy = 20 * day
/** Share of ended employments that continue in another territory. The others leave. */
const transferShare = 0.3

/**
 * The employees of the span: one manager and five sellers in each territory, each replaced when
 * they leave.
 */
export function makeStaff(seed: number, span: Span): Staff {
  const random = new Random(seed, 'staff')
  const employments: Employment[][] = territories.map(() => [])
  const people = territories.map((_, territory) => ({
    name: personName(random),
    territory,
    hired: span.from,
    left: Number.POSITIVE_INFINITY,
  }))
  for (const [id, { hired, left, territory }] of people.entries())
    employments[territory]!.push({ id: id + 1, from: hired, until: left })
  for (let place = 0; place < territories.length * sellersPerTerritory; place++) {
    for (let from = span.from; from < span.until; ) {
      const home = Math.floor(place / sellersPerTerritory)
      const until = employmentEnd(random, from, span)
      const person = { name: personName(random), territory: home, hired: from, left: until }
      const id = people.push(person)
      employments[home]!.push({ id, from, until })
      if (until < span.until && random.chance(transferShare)) {
        person.territory = random.integer(0, territories.length - 1)
        person.left = employmentEnd(random, until, span)
        employments[person.territory]!.push({ id, from: until, until: person.left })
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
  return { rows, employments }
}

export interface Employee {
  readonly id: number
  readonly name: string
  readonly role: 'sales_manager' | 'sales_person'
  /** Ids of Postgres. */
  readonly territory: number
  readonly manager: number | null
  readonly hired: number
  readonly left: number
}

export function employeeCells({ id, name, role, territory, manager, hired, left }: Employee): Cell[] {
  const leftOn = Number.isFinite(left) ? dateText(left) : null
  return [id, name, `employee${id}@shop.example`, role, manager, territory, dateText(hired), leftOn]
}

/** The employments at this time. */
export function present<Held extends Employment>(employments: readonly Held[], at: number): Held[] {
  return employments.filter(({ from, until }) => from <= at && at < until)
}

/** The day in UTC. */
export function dateText(time: number): string {
  return new Date(time).toISOString().slice(0, 10)
}

/** Infinity if the time is after the span. */
function employmentEnd(random: Random, from: number, span: Span): number {
  const end = from + random.waiting(meanEmployment)
  return end < span.until ? end : Number.POSITIVE_INFINITY
}

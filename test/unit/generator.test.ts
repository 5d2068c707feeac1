// test/unit/generator.test: histories and lives are functions of their seed, and possible ones.
// May know: generator. No Postgres: its part is in test/service.

import { orderTimes } from '../../generator/calendar.ts'
import {
  customerRows,
  emptyPopulation,
  type HistoricOrder,
  historicOrders,
  orderColumns,
} from '../../generator/history.ts'
import { Life, type Situation } from '../../generator/life.ts'
import { changesOf, type Identity, type IdSource, type Operation } from '../../generator/operation.ts'
import { PriceHistory } from '../../generator/prices.ts'
import { Random } from '../../generator/random.ts'
import type { Reference } from '../../generator/reference.ts'
import { type Scenario, scenarioSchema } from '../../generator/scenario.ts'
import { money, seedTables } from '../../generator/seed.ts'
import { makeStaff } from '../../generator/staff.ts'
import { statementsOf } from '../../generator/statements.ts'
import { categories, territories, trafficSources } from '../../generator/world.ts'
import { assert, suite } from '../support/suite.ts'

const until = Date.UTC(2025, 10, 21, 9)
const span = { from: Date.UTC(2023, 10, 21, 9), until }

const reference: Reference = {
  territories: territories.map(({ name }, index) => ({
    id: index + 1,
    name,
    onlineShop: 4 * index + 1,
    shops: [4 * index + 2],
    staff: makeStaff(1, span).stints[index]!,
  })),
  products: Array.from({ length: 200 }, (_, index) => {
    const { name, returnShare } = categories[index % categories.length]!
    return { id: index + 1, cents: 1000 + index, costCents: 500 + index, category: name, returnShare }
  }),
  trafficSources: trafficSources.map((source, index) => ({ ...source, id: index + 1 })),
}

const population = () => emptyPopulation(200)

function history(seed: number, orders: number, visitsPerOrder = 1): { customers: unknown[]; orders: HistoricOrder[] } {
  const people = population()
  const customers = [...customerRows(seed, people, span)]
  const options = { ...span, seed, orders, visitsPerOrder, reference, population: people }
  return { customers, orders: [...historicOrders(options)] }
}

function counter(): IdSource {
  const last: Record<Identity, number> = { order: 1000, item: 3000, customer: 500, employee: 5000 }
  return { next: of => ++last[of], has: () => true }
}

function situation(): Situation {
  const customers = Array.from({ length: 100 }, (_, index) => ({ id: index + 1, home: index % 12 }))
  return { reference, customers, open: [], settled: [] }
}

function live(seed: number, batches: number, rows = 40): Operation[][] {
  const life = new Life(seed, situation(), counter())
  return Array.from({ length: batches }, (_, index) => life.batch(rows, new Date(until + index * 20)))
}

const test = suite('generator')

test('a seed gives the same numbers again, another seed or purpose others', () => {
  const numbers = (seed: number, purpose: string) => {
    const random = new Random(seed, purpose)
    return Array.from({ length: 50 }, () => random.bits())
  }
  assert.equal(numbers(1, 'a'), numbers(1, 'a'))
  assert.is.not(String(numbers(1, 'a')), String(numbers(2, 'a')))
  assert.is.not(String(numbers(1, 'a')), String(numbers(1, 'b')))
  assert.is.not(String(numbers(1, 'a')), String(numbers(1 + 2 ** 32, 'a')))
})

test('numbers stay in their range and reach its ends', () => {
  const random = new Random(5, 'ranges')
  const integers = Array.from({ length: 2000 }, () => random.integer(3, 7))
  assert.equal([...new Set(integers)].sort(), [3, 4, 5, 6, 7])
  const indexes = Array.from({ length: 5000 }, () => random.weighted([1, 1, 4]))
  assert.equal([...new Set(indexes)].sort(), [0, 2], 'a weight of 0 is never drawn')
  for (let count = 1; count < 30; count++) {
    const drawn = random.skewed(count)
    assert.ok(drawn >= 0 && drawn < count)
  }
})

test('a fifth of the customers make most of the orders', () => {
  const random = new Random(1, 'skew')
  const drawn = Array.from({ length: 10_000 }, () => random.skewed(1000))
  const share = drawn.filter(index => index < 200).length / drawn.length
  assert.ok(share > 0.65 && share < 0.85, String(share))
})

test('the calendar gives as many times as asked for, ascending, within the span, more of them later', () => {
  const times = [...orderTimes(new Random(1, 'calendar'), 5000, span)]
  assert.is(times.length, 5000)
  assert.ok(times.every((time, index) => time >= (times[index - 1] ?? span.from) && time < until))
  const middle = (span.from + until) / 2
  const first = times.filter(time => time < middle).length
  assert.ok(first < 2350, `${first} of 5000 in the first half`)
})

test('a history is the same for the same seed, and differs for another', () => {
  assert.equal(history(3, 300), history(3, 300))
  assert.is.not(JSON.stringify(history(3, 300)), JSON.stringify(history(4, 300)))
})

test('a history has an item for every three rows or so, ids without gaps and every status', () => {
  const { orders } = history(1, 4000)
  assert.equal(
    orders.map(({ order }) => order[0]),
    Array.from({ length: 4000 }, (_, index) => index + 1),
  )
  const items = orders.flatMap(entry => entry.items)
  assert.equal(
    items.map(([id]) => id),
    Array.from({ length: items.length }, (_, index) => index + 1),
  )
  assert.ok(items.length >= 3 * orders.length, `${items.length} items`)
  const share = (status: string) => orders.filter(({ order }) => order[6] === status).length / orders.length
  assert.ok(share('delivered') > 0.8)
  assert.ok(share('cancelled') > 0.03 && share('cancelled') < 0.09, String(share('cancelled')))
  assert.ok(share('returned') > 0.02 && share('returned') < 0.08, String(share('returned')))
})

test('an order of the history has the times that its status needs, in order, and none in the future', () => {
  for (const { order } of history(2, 3000).orders) {
    const row = Object.fromEntries(orderColumns.map((name, index) => [name, order[index]!])) as Record<string, string>
    const { status, ordered_at, paid_at, shipped_at, delivered_at, cancelled_at, returned_at } = row
    const done = [ordered_at, paid_at, shipped_at, delivered_at, returned_at].filter(time => time !== null)
    assert.equal(done, [...done].sort())
    assert.ok([...done, cancelled_at ?? ''].every(time => String(time) < new Date(until).toISOString()))
    assert.is(['shipped', 'delivered', 'returned'].includes(status!), shipped_at !== null, `${status}`)
    assert.is(['delivered', 'returned'].includes(status!), delivered_at !== null)
    assert.is(status === 'returned', returned_at !== null)
    assert.is(status === 'cancelled', cancelled_at !== null)
    assert.ok(['created', 'cancelled'].includes(status!) || paid_at !== null)
  }
})

test('nobody orders or visits before having registered', () => {
  const people = emptyPopulation(50)
  for (const _ of customerRows(1, people, span));
  const options = { ...span, seed: 1, orders: 1000, visitsPerOrder: 3, reference, population: people }
  for (const { order, visits } of historicOrders(options)) {
    const times = [[order[1], order[7]], ...visits.map(([customer, , at]) => [customer, at])]
    for (const [customer, at] of times) {
      if (customer !== null) assert.ok(people.registered[Number(customer) - 1]! <= Date.parse(String(at)))
    }
  }
})

test('an online order comes from a visit by its customer; other visits are more where a source converts less', () => {
  const { orders } = history(1, 6000, 4)
  const visits = orders.flatMap(entry => entry.visits)
  assert.ok(Math.abs(visits.length / 24_000 - 1) < 0.05, `${visits.length} visits`)
  for (const { order, visits: own } of orders) {
    const [, customer, , , , source, , orderedAt] = order
    const before = own.some(([who, from, at]) => who === customer && from === source && String(at) <= String(orderedAt))
    assert.ok(source === null || before, String(order))
  }
  const conversion = trafficSources.map(({ name }, index) => {
    const ordered = orders.filter(({ order }) => order[5] === index + 1).length
    return { name, share: ordered / visits.filter(([, source]) => source === index + 1).length }
  })
  const best = conversion.toSorted((a, b) => b.share - a.share).map(({ name }) => name)
  assert.is(best[0], 'Newsletter')
  assert.is(best.at(-1), 'Video network')
  const costs = new Set(visits.filter(([, source]) => source === 1).map(([, , , , cost]) => cost))
  assert.equal([...costs], ['0.00'])
})

test('orders come back more often where the category does', () => {
  const { orders } = history(2, 12_000)
  const share = (category: number) => {
    const own = orders.filter(({ order, items }) => order[10] !== null && (Number(items[0]![2]) - 1) % 5 === category)
    return own.filter(({ order }) => order[6] === 'returned').length / own.length
  }
  assert.ok(share(3) > 1.5 * share(4), `Sports ${share(3)}, Office ${share(4)}`)
})

test('whoever sells in a shop of brick is employed in its territory at that time', () => {
  const { stints } = makeStaff(1, span)
  const { orders } = history(1, 3000)
  const sold = orders.filter(({ order }) => order[3] !== null)
  assert.ok(sold.length > 800)
  for (const { order } of sold) {
    const at = Date.parse(String(order[7]))
    const held = stints[Number(order[4]) - 1]!.some(
      ({ id, from, until }) => id === order[3] && from <= at && at < until,
    )
    assert.ok(held, String(order))
  }
})

test('staff comes, changes territory and goes; a place has one holder at a time', () => {
  const years = { from: Date.UTC(2015, 0, 1), until }
  const { rows, stints } = makeStaff(1, years)
  assert.ok(rows.filter(([, , , , , , , left]) => left !== null).length > 20)
  const places = stints.flat().map(({ id }) => id)
  assert.ok(places.length > new Set(places).size, 'nobody was transferred')
  for (const { id, from, until: end } of stints.flat()) assert.ok(from < end, String(id))
  for (const [, , , , , , hired, left] of rows) assert.ok(left === null || String(left) >= String(hired))
})

test('prices change over time, and what is sold at the end has the price of the product', () => {
  const prices = new PriceHistory(1, span)
  const levels = new Set(Array.from({ length: 24 }, (_, month) => prices.level(3, span.from + month * 30 * 86_400_000)))
  assert.ok(levels.size > 1, [...levels].join(' '))
  assert.is(prices.level(3, until), 1)
  assert.ok(prices.lastChange(3) <= until)
})

test('the seed set refers only to rows of its own', () => {
  const tables = new Map(seedTables(1, span).map(table => [table.table, table]))
  const ids = (name: string) => new Set(tables.get(name)!.rows.map(([id]) => id))
  const column = (name: string, of: string) => {
    const { columns, rows } = tables.get(name)!
    return rows.map(row => row[columns.indexOf(of)]!).filter(value => value !== null)
  }
  const within = (values: unknown[], known: Set<unknown>) => assert.ok(values.every(value => known.has(value)))
  within(column('shop.shops', 'sales_territory_id'), ids('shop.sales_territories'))
  within(column('shop.employees', 'sales_territory_id'), ids('shop.sales_territories'))
  within(column('shop.employees', 'manager_id'), ids('shop.employees'))
  within(column('shop.categories', 'parent_id'), ids('shop.categories'))
  within(column('shop.products', 'category_id'), ids('shop.categories'))
})

test('money keeps its cents', () => {
  assert.equal([0, 5, 99, 100, 123_456].map(money), ['0.00', '0.05', '0.99', '1.00', '1234.56'])
})

test('life is the same for the same seed and shop', () => {
  assert.equal(live(1, 50), live(1, 50))
  assert.is.not(JSON.stringify(live(1, 5)), JSON.stringify(live(2, 5)))
})

test('a batch changes as many rows as asked for, and none of them twice', () => {
  for (const operations of live(1, 200)) {
    const rows = operations.flatMap(rowsOf)
    assert.is(new Set(rows).size, rows.length, rows.join(' '))
    const changes = operations.reduce((sum, operation) => sum + changesOf(operation), 0)
    assert.ok(changes >= 40 && changes < 40 + 8, String(changes))
  }
})

test('everything that can happen happens, and orders neither pile up nor run out', () => {
  const operations = live(1, 2000).flat()
  const kinds = new Set(operations.map(({ kind }) => kind))
  assert.is(kinds.size, 12, [...kinds].join(' '))
  const steps = operations.flatMap(operation => (operation.kind === 'step' ? [operation.to] : []))
  assert.equal([...new Set(steps)].sort(), ['cancelled', 'delivered', 'paid', 'returned', 'shipped'])
  const life = new Life(1, situation(), counter())
  const open = Array.from({ length: 3000 }, () => {
    life.batch(40, new Date(until))
    return life.openOrders
  })
  assert.ok(Math.max(...open) <= 20_000)
  assert.ok(open.at(-1)! > 0)
})

test('a shop without customers begins with a registration', () => {
  const life = new Life(1, { ...situation(), customers: [] }, counter())
  assert.ok(life.batch(20, new Date(until)).some(({ kind }) => kind === 'registration'))
})

function scenario(given: object): Scenario {
  return scenarioSchema.parse(given)
}

test('a flash sale lowers prices of its category, sells it, and ends with the prices from before', () => {
  const life = new Life(1, situation(), counter())
  life.begin(scenario({ kind: 'flash_sale', category: 'Kitchen', discount: 50, seconds: 10 }), new Date(until))
  const during = Array.from({ length: 20 }, (_, index) => life.batch(40, new Date(until + index))).flat()
  const kitchen = new Set(reference.products.filter(({ category }) => category === 'Kitchen').map(({ id }) => id))
  const prices = (operations: Operation[]) => operations.filter(operation => operation.kind === 'price')
  assert.equal(new Set(prices(during).map(({ product }) => product)), kitchen)
  assert.ok(prices(during).every(({ product, cents }) => cents === Math.round((999 + product) / 2)))
  const sold = during.flatMap(operation => (operation.kind === 'order' ? operation.lines : []))
  assert.ok(sold.length > 50 && sold.every(({ product }) => kitchen.has(product)))
  const after = prices(life.batch(40, new Date(until + 10_000))).filter(({ product }) => kitchen.has(product))
  assert.is(life.mood, undefined)
  assert.ok(
    after.length >= kitchen.size && after.slice(0, kitchen.size).every(({ product, cents }) => cents === 999 + product),
  )
})

test('a reorganisation renames a territory and moves shops and people, none of them twice in a batch', () => {
  const life = new Life(4, situation(), counter())
  const taken = new Set(reference.territories.map(({ name }) => name))
  for (let round = 0; round < 5; round++) {
    life.begin(scenario({ kind: 'territory_reorganisation', moves: 4, seconds: 1 }), new Date(until))
    const operations = life.batch(40, new Date(until))
    const of = (kind: Operation['kind']) => operations.filter(operation => operation.kind === kind)
    assert.is(of('handover').length, 4)
    assert.ok(of('transfer').length >= 4)
    const [renamed] = operations.filter(operation => operation.kind === 'renaming')
    assert.not.ok(taken.has(renamed!.name), renamed!.name)
    const rows = operations.flatMap(rowsOf)
    assert.is(new Set(rows).size, rows.length)
  }
})

test('a wave of returns and a campaign show in what happens; unknown names are refused', () => {
  const share = (given: object | undefined, of: (operation: Operation) => boolean) => {
    const life = new Life(1, situation(), counter())
    for (let batch = 0; batch < 200; batch++) life.batch(40, new Date(until))
    if (given) life.begin(scenario(given), new Date(until))
    const operations = Array.from({ length: 50 }, () => life.batch(40, new Date(until))).flat()
    return operations.filter(of).length / operations.length
  }
  const returned = (operation: Operation) => operation.kind === 'step' && operation.to === 'returned'
  assert.ok(share({ kind: 'returns_wave' }, returned) > 5 * share(undefined, returned))
  const social = (operation: Operation) => operation.kind === 'visit' && operation.visit.source === 5
  const campaign = { kind: 'campaign', traffic_source: 'Photo network' }
  assert.ok(share(campaign, social) > 5 * share(undefined, social))
  const life = new Life(1, situation(), counter())
  assert.throws(
    () => life.begin(scenario({ kind: 'flash_sale', category: 'Moon' }), new Date(until)),
    /no category "Moon"/,
  )
  assert.is(life.mood, undefined)
})

test('statements carry every operation, one array per column', () => {
  const operations = live(9, 20).flat()
  const statements = statementsOf(operations)
  const rows = statements.reduce((sum, { values }) => sum + values[0]!.length, 0)
  const expected = operations.reduce((sum, operation) => sum + parameterRows(operation), 0)
  assert.is(rows, expected)
  for (const { values, text } of statements) {
    assert.ok(values.every(column => column.length === values[0]!.length))
    assert.is(new Set(text.match(/\$\d+/g)).size, values.length, text)
  }
  assert.equal(statementsOf([]), [])
})

/** A removal is one row of parameters in each of two statements, whatever the number of items. */
function parameterRows(operation: Operation): number {
  return operation.kind === 'removal' ? 2 : changesOf(operation)
}

function rowsOf(operation: Operation): string[] {
  switch (operation.kind) {
    case 'order':
      return [`order ${operation.id}`, ...operation.lines.map(({ id }) => `item ${id}`)]
    case 'step':
    case 'correction':
    case 'removal':
      return [`order ${operation.order}`]
    case 'quantity':
      return [`item ${operation.item}`]
    case 'price':
      return [`product ${operation.product}`]
    case 'registration':
      return [`customer ${operation.customer.id}`]
    case 'move':
      return [`customer ${operation.customer}`]
    case 'transfer':
    case 'departure':
      return [`employee ${operation.employee}`]
    case 'hiring':
      return [`employee ${operation.employee.id}`]
    case 'handover':
      return [`shop ${operation.shop}`]
    case 'renaming':
      return [`territory ${operation.territory}`]
    case 'visit':
      return []
  }
}

test.run()

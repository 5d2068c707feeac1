// test/unit/generator.test: histories are functions of their seed, and plausible.
// The tests of Postgres are in test/service.

import { orderTimes } from '../../generator/shop/calendar.ts'
import {
  customerRows,
  emptyPopulation,
  type HistoricOrder,
  historicOrders,
  orderColumns,
} from '../../generator/shop/history.ts'
import { PriceHistory } from '../../generator/shop/prices.ts'
import { Random } from '../../generator/shop/random.ts'
import { money, seedTables } from '../../generator/shop/seed.ts'
import { trafficSources } from '../../generator/shop/shop-constants.ts'
import { makeStaff } from '../../generator/shop/staff.ts'
import { reference, span, until } from '../support/fixtures/invented-shop.ts'
import { assert, suite } from '../support/harness/suite.ts'

const population = () => emptyPopulation(200)

function history(seed: number, orders: number, visitsPerOrder = 1): { customers: unknown[]; orders: HistoricOrder[] } {
  const people = population()
  const customers = [...customerRows(seed, people, span)]
  const options = { ...span, seed, orders, visitsPerOrder, reference, population: people }
  return { customers, orders: [...historicOrders(options)] }
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

test('random numbers stay in their range and reach its ends', () => {
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

test('the calendar gives the requested number of times, ascending, within the span, with more later times', () => {
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

test('an online order has a visit by its customer; a source that converts less has more other visits', () => {
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

test('orders are returned more often in categories with more returns', () => {
  const { orders } = history(2, 12_000)
  const share = (category: number) => {
    const own = orders.filter(({ order, items }) => order[10] !== null && (Number(items[0]![2]) - 1) % 5 === category)
    return own.filter(({ order }) => order[6] === 'returned').length / own.length
  }
  assert.ok(share(3) > 1.5 * share(4), `Sports ${share(3)}, Office ${share(4)}`)
})

test('the seller in a shop is employed in its territory at that time', () => {
  const { employments } = makeStaff(1, span)
  const { orders } = history(1, 3000)
  const sold = orders.filter(({ order }) => order[3] !== null)
  assert.ok(sold.length > 800)
  for (const { order } of sold) {
    const at = Date.parse(String(order[7]))
    const held = employments[Number(order[4]) - 1]!.some(
      ({ id, from, until }) => id === order[3] && from <= at && at < until,
    )
    assert.ok(held, String(order))
  }
})

test('staff is hired, changes territory and leaves; a post has one holder at a time', () => {
  const years = { from: Date.UTC(2015, 0, 1), until }
  const { rows, employments } = makeStaff(1, years)
  assert.ok(rows.filter(([, , , , , , , left]) => left !== null).length > 20)
  const places = employments.flat().map(({ id }) => id)
  assert.ok(places.length > new Set(places).size, 'nobody was transferred')
  for (const { id, from, until: end } of employments.flat()) assert.ok(from < end, String(id))
  for (const [, , , , , , hired, left] of rows) assert.ok(left === null || String(left) >= String(hired))
})

test('prices change over time, and items sold at the end have the price of the product', () => {
  const prices = new PriceHistory(1, span)
  const levels = new Set(Array.from({ length: 24 }, (_, month) => prices.level(3, span.from + month * 30 * 86_400_000)))
  assert.ok(levels.size > 1, [...levels].join(' '))
  assert.is(prices.level(3, until), 1)
  assert.ok(prices.lastChange(3) <= until)
})

test('the seed set refers only to its own rows', () => {
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

test.run()

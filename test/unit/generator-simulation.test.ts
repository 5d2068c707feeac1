// test/unit/generator-simulation.test: events in the shop are a function of its seed and state, and
// scenarios change them for a while.
// The tests of Postgres are in test/service.

import { statementsOf } from '../../generator/database/statements.ts'
import { changesOf, type Operation } from '../../generator/shop/operation.ts'
import { type Scenario, scenarioSchema } from '../../generator/shop/scenario.ts'
import { ShopSimulation } from '../../generator/shop/shop-simulation.ts'
import { counter, reference, shopState, simulate, until } from '../support/fixtures/invented-shop.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('generator simulation')

test('the simulation is the same for the same seed and shop', () => {
  assert.equal(simulate(1, 50), simulate(1, 50))
  assert.is.not(JSON.stringify(simulate(1, 5)), JSON.stringify(simulate(2, 5)))
})

test('a batch changes the requested number of rows, and none of them twice', () => {
  for (const operations of simulate(1, 200)) {
    const rows = operations.flatMap(rowsOf)
    assert.is(new Set(rows).size, rows.length, rows.join(' '))
    const changes = operations.reduce((sum, operation) => sum + changesOf(operation), 0)
    assert.ok(changes >= 40 && changes < 40 + 8, String(changes))
  }
})

test('every kind of event happens, and orders neither pile up nor run out', () => {
  const operations = simulate(1, 2000).flat()
  const kinds = new Set(operations.map(({ kind }) => kind))
  assert.is(kinds.size, 12, [...kinds].join(' '))
  const steps = operations.flatMap(operation => (operation.kind === 'step' ? [operation.to] : []))
  assert.equal([...new Set(steps)].sort(), ['cancelled', 'delivered', 'paid', 'returned', 'shipped'])
  const simulation = new ShopSimulation(1, shopState(), counter())
  const open = Array.from({ length: 3000 }, () => {
    simulation.batch(40, new Date(until))
    return simulation.openOrders
  })
  assert.ok(Math.max(...open) <= 20_000)
  assert.ok(open.at(-1)! > 0)
})

test('a shop without customers begins with a registration', () => {
  const simulation = new ShopSimulation(1, { ...shopState(), customers: [] }, counter())
  assert.ok(simulation.batch(20, new Date(until)).some(({ kind }) => kind === 'registration'))
})

function scenario(given: object): Scenario {
  return scenarioSchema.parse(given)
}

test('a flash sale lowers prices of its category, sells it, and ends with the prices from before', () => {
  const simulation = new ShopSimulation(1, shopState(), counter())
  simulation.begin(scenario({ kind: 'flash_sale', category: 'Kitchen', discount: 50, seconds: 10 }), new Date(until))
  const during = Array.from({ length: 20 }, (_, index) => simulation.batch(40, new Date(until + index))).flat()
  const kitchen = new Set(reference.products.filter(({ category }) => category === 'Kitchen').map(({ id }) => id))
  const prices = (operations: Operation[]) => operations.filter(operation => operation.kind === 'price')
  assert.equal(new Set(prices(during).map(({ product }) => product)), kitchen)
  assert.ok(prices(during).every(({ product, cents }) => cents === Math.round((999 + product) / 2)))
  const sold = during.flatMap(operation => (operation.kind === 'order' ? operation.lines : []))
  assert.ok(sold.length > 50 && sold.every(({ product }) => kitchen.has(product)))
  const after = prices(simulation.batch(40, new Date(until + 10_000))).filter(({ product }) => kitchen.has(product))
  assert.is(simulation.effects, undefined)
  assert.ok(
    after.length >= kitchen.size && after.slice(0, kitchen.size).every(({ product, cents }) => cents === 999 + product),
  )
})

test('a sale that begins right after another, or after a lost connection, ends with the prices from before both', () => {
  const simulation = new ShopSimulation(1, shopState(), counter())
  const sale = scenario({ kind: 'flash_sale', category: 'Kitchen', discount: 50, seconds: 10 })
  const changed = new Map<number, number>()
  const happen = (one: ShopSimulation, at: number) => {
    for (const operation of one.batch(0, new Date(at))) {
      if (operation.kind === 'price') changed.set(operation.product, operation.cents)
    }
  }
  simulation.begin(sale, new Date(until))
  simulation.end(new Date(until))
  const effects = simulation.begin(sale, new Date(until))
  for (let batch = 0; batch < 4; batch++) happen(simulation, until)
  assert.ok([...changed].every(([product, cents]) => cents === Math.round((999 + product) / 2)))
  const next = new ShopSimulation(1, shopState(), counter())
  next.resume(effects)
  for (let batch = 0; batch < 3; batch++) happen(next, until + 10_000 * batch)
  assert.ok(changed.size === 40 && [...changed].every(([product, cents]) => cents === 999 + product))
})

test('a reorganisation renames a territory and moves shops and people, none of them twice in a batch', () => {
  const simulation = new ShopSimulation(4, shopState(), counter())
  const taken = new Set(reference.territories.map(({ name }) => name))
  for (let round = 0; round < 5; round++) {
    simulation.begin(scenario({ kind: 'territory_reorganisation', moves: 4, seconds: 1 }), new Date(until))
    const operations = simulation.batch(40, new Date(until))
    const of = (kind: Operation['kind']) => operations.filter(operation => operation.kind === kind)
    assert.is(of('handover').length, 4)
    assert.ok(of('transfer').length >= 4)
    const [renamed] = operations.filter(operation => operation.kind === 'renaming')
    assert.not.ok(taken.has(renamed!.name), renamed!.name)
    const rows = operations.flatMap(rowsOf)
    assert.is(new Set(rows).size, rows.length)
  }
})

test('a wave of returns and a campaign change the events; unknown names are refused', () => {
  const share = (given: object | undefined, of: (operation: Operation) => boolean) => {
    const simulation = new ShopSimulation(1, shopState(), counter())
    for (let batch = 0; batch < 200; batch++) simulation.batch(40, new Date(until))
    if (given) simulation.begin(scenario(given), new Date(until))
    const operations = Array.from({ length: 50 }, () => simulation.batch(40, new Date(until))).flat()
    return operations.filter(of).length / operations.length
  }
  const returned = (operation: Operation) => operation.kind === 'step' && operation.to === 'returned'
  assert.ok(share({ kind: 'returns_wave' }, returned) > 5 * share(undefined, returned))
  const social = (operation: Operation) => operation.kind === 'visit' && operation.visit.source === 5
  const campaign = { kind: 'campaign', traffic_source: 'Photo network' }
  assert.ok(share(campaign, social) > 5 * share(undefined, social))
  const simulation = new ShopSimulation(1, shopState(), counter())
  assert.throws(
    () => simulation.begin(scenario({ kind: 'flash_sale', category: 'Moon' }), new Date(until)),
    /no category "Moon"/,
  )
  assert.is(simulation.effects, undefined)
})

test('statements carry every operation, one array per column', () => {
  const operations = simulate(9, 20).flat()
  const statements = statementsOf(operations)
  const rows = statements.reduce((sum, { values }) => sum + values[0]!.length, 0)
  const expected = operations.reduce((sum, operation) => sum + parameterRows(operation), 0)
  assert.is(rows, expected)
  for (const { values, text } of statements) {
    assert.ok(values.every(column => column.length === values[0]!.length))
    assert.is(new Set(text.match(/\$\d+/g)).size, values.length, text)
  }
  const names = statements.map(({ name }) => name)
  for (const first of ['register customers', 'hire employees']) {
    if (names.includes(first))
      assert.ok(names.indexOf(first) < names.indexOf('insert orders'), `${first}: they may order or sell at once`)
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

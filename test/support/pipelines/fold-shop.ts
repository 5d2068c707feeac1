// test/support/pipelines/fold-shop: a small shop whose changes are written into changelogs without
// Postgres and Kafka.
// What the aggregates must be is computed here from the rows, in another way than by the engine.

import type { Clickhouse } from '../../../clickhouse/client.ts'
import { changelogName, currentName, tableStatements } from '../../../clickhouse/ddl.ts'
import { quoteName } from '../../../clickhouse/quote.ts'
import { type Table, tableName } from '../../../contract/table.ts'
import type { Random } from '../../../generator/shop/random.ts'
import { type Aggregate, readAggregates } from '../../../modeling/aggregate.ts'
import { applyModel } from '../../../modeling/model.ts'
import type { Position } from '../../../modeling/position.ts'
import { foldModel, items, orders } from './fold-model.ts'

const partitions = 3

interface Order {
  readonly order_id: number
  readonly territory: number
  readonly seller: number | null
  readonly status: string
  readonly placed: string
  readonly note: string
}

interface Item {
  readonly item_id: number
  readonly order_id: number
  readonly product: number
  readonly quantity: number
  /** With two decimals. */
  readonly price: string
}

type Row = Order | Item
type Cells = ReadonlyMap<string, string>

/** A cut, and what the aggregates are there. */
export interface Moment {
  readonly cut: Position
  readonly expected: ReadonlyMap<string, Cells>
}

export class FoldShop {
  readonly #clickhouse: Clickhouse
  readonly #random: Random
  readonly #orders = new Map<number, Order>()
  readonly #items = new Map<number, Item>()
  readonly #offsets = new Map(
    [orders, items].map(table => [tableName(table), Array.from({ length: partitions }, () => 0)]),
  )
  /** Every image so far, in the order in which they are inserted. */
  readonly #all = new Map<string, string[]>([orders, items].map(table => [tableName(table), []]))
  readonly #images = new Map<string, string[]>([orders, items].map(table => [tableName(table), []]))
  #lsn = 1000
  #nextItem = 1
  #written: Position

  constructor(clickhouse: Clickhouse, random: Random) {
    this.#clickhouse = clickhouse
    this.#random = random
    this.#written = this.moment().cut
  }

  /** Creates the tables and the model. */
  async create(model = foldModel()): Promise<Aggregate[]> {
    for (const table of [orders, items]) for (const sql of tableStatements(table)) await this.#clickhouse.command(sql)
    await applyModel(this.#clickhouse, model)
    return readAggregates(this.#clickhouse, model, [orders, items])
  }

  get changes(): number {
    return this.#lsn - 1000
  }

  /** Makes so many changes, which `write` inserts. */
  change(count: number): void {
    for (let made = 0; made < count; made++) this.#act()
    // Records of other programs and dead letters leave offsets without rows.
    if (this.#random.chance(0.2)) this.#offsets.get(tableName(this.#random.pick([orders, items])))![0]!++
  }

  /** Inserts the images of one table, or of both in any order. */
  async write(only?: Table): Promise<void> {
    const both = this.#random.chance(0.5) ? [orders, items] : [items, orders]
    for (const table of only === undefined ? both : [only]) {
      await this.#insert(table, this.#images.get(tableName(table))!.splice(0))
    }
  }

  /** Inserts what the changelog lacks at its end, after an insert of unknown outcome. */
  async writeMissing(table: Table): Promise<void> {
    const [row] = await this.#clickhouse.rows<{ n: string }>(
      `SELECT count() AS n FROM ${quoteName(changelogName(table))}`,
    )
    this.#images.get(tableName(table))!.splice(0)
    await this.#insert(table, this.#all.get(tableName(table))!.slice(Number(row!.n)))
  }

  /** Number of images that the changelog must have. */
  imagesOf(table: Table): number {
    return this.#all.get(tableName(table))!.length
  }

  async #insert(table: Table, lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return
    await this.#clickhouse.insert(
      `INSERT INTO ${quoteName(changelogName(table))} FORMAT JSONEachRow`,
      [Buffer.from(lines.join('\n'))],
      { async_insert: 0, insert_deduplicate: 0, input_format_parallel_parsing: 0 },
    )
  }

  /** Says that every change so far has been inserted. */
  markWritten(): void {
    this.#written = this.moment().cut
  }

  /** Up to where everything is inserted. */
  get written(): Position {
    return this.#written
  }

  /** The state of now, which must be written before it is used. */
  moment(): Moment {
    const offsets = new Map([...this.#offsets].map(([table, list]) => [table, [...list]]))
    return {
      cut: { lsn: this.#lsn + 1, commitTimeUs: this.#lsn * 1_000_000, offsets },
      expected: new Map([
        ['cells', this.#cells()],
        ['statuses', this.#statuses()],
      ]),
    }
  }

  #act(): void {
    const random = this.#random
    const kind = random.integer(1, 16)
    const anyOrder = () => (this.#orders.size === 0 ? undefined : random.pick([...this.#orders.values()]))
    const anyItem = () => (this.#items.size === 0 ? undefined : random.pick([...this.#items.values()]))
    if (kind <= 3) this.#insertOrder(random.integer(1, 60))
    // Also before its order comes, or without one.
    else if (kind <= 6) this.#put(items, undefined, this.#newItem(this.#nextItem++, random.integer(1, 60)))
    else if (kind <= 9) this.#editOrder(anyOrder())
    else if (kind <= 11) this.#editItem(anyItem())
    else if (kind === 12) this.#deleteOrder(anyOrder())
    else if (kind === 13) this.#moveItem(anyItem())
    else if (kind === 14) this.#rekeyOrder(anyOrder())
    else if (kind === 15) this.#put(orders, anyOrder(), undefined)
    else if (random.chance(0.06)) this.#truncate(random.pick([orders, items]))
  }

  #insertOrder(id: number): void {
    if (!this.#orders.has(id)) this.#put(orders, undefined, this.#newOrder(id))
  }

  #editOrder(order: Order | undefined): void {
    if (order === undefined) return
    const other = this.#newOrder(order.order_id)
    const names = (Object.keys(order) as (keyof Order)[]).filter(() => this.#random.chance(0.3))
    this.#put(orders, order, { ...order, ...Object.fromEntries(names.map(name => [name, other[name]])) })
  }

  #editItem(item: Item | undefined): void {
    if (item === undefined) return
    const other = this.#newItem(item.item_id, item.order_id)
    this.#put(items, item, this.#random.chance(0.5) ? other : { ...item, quantity: other.quantity })
  }

  #deleteOrder(order: Order | undefined): void {
    if (order === undefined) return
    const own = [...this.#items.values()].filter(item => item.order_id === order.order_id)
    for (const item of own) this.#put(items, item, undefined)
    this.#put(orders, order, undefined)
  }

  /** Between orders: the partition may change, so it is a delete and an insert. */
  #moveItem(item: Item | undefined): void {
    if (item === undefined) return
    this.#put(items, item, undefined)
    if (this.#random.chance(0.7)) this.#put(items, undefined, { ...item, order_id: this.#random.integer(1, 60) })
  }

  /** A new primary key, or deleted and there again. */
  #rekeyOrder(order: Order | undefined): void {
    if (order === undefined) return
    const id = this.#random.chance(0.5) ? order.order_id : this.#random.integer(1, 60)
    this.#put(orders, order, undefined)
    if (!this.#orders.has(id)) this.#put(orders, undefined, { ...order, order_id: id })
  }

  #truncate(table: Table): void {
    const rows: Map<number, Row> = table === orders ? this.#orders : this.#items
    for (let partition = 0; partition < partitions; partition++) {
      this.#lsn++
      const offset = this.#offsets.get(tableName(table))![partition]!++
      for (const [key, row] of [...rows].filter(([, row]) => row.order_id % partitions === partition)) {
        rows.delete(key)
        this.#image(table, row, { sign: -1, op: 't', offset })
      }
    }
  }

  #put(table: Table, before: Row | undefined, after: Row | undefined): void {
    if (before === undefined && after === undefined) return
    const rows = (table === orders ? this.#orders : this.#items) as Map<number, Row>
    const keyOf = (row: Row) => (table === orders ? row.order_id : (row as Item).item_id)
    this.#lsn++
    const offset = this.#offsets.get(tableName(table))![(before ?? after)!.order_id % partitions]!++
    if (before !== undefined) {
      rows.delete(keyOf(before))
      this.#image(table, before, { sign: -1, op: after === undefined ? 'd' : 'u', offset })
    }
    if (after === undefined) return
    rows.set(keyOf(after), after)
    this.#image(table, after, { sign: 1, op: before === undefined ? 'c' : 'u', offset })
  }

  #image(table: Table, row: Row, { sign, op, offset }: { sign: number; op: string; offset: number }): void {
    const version = String(BigInt(this.#lsn) << 64n)
    const place = { _partition: row.order_id % partitions, _offset: offset, _commit_time: '2026-01-01 00:00:00' }
    const image = { ...row, ...place, _sign: sign, _op: op, _lsn: this.#lsn, _ordinal: 0, _version: version }
    for (const list of [this.#images, this.#all]) list.get(tableName(table))!.push(JSON.stringify(image))
  }

  #newOrder(id: number): Order {
    const random = this.#random
    return {
      order_id: id,
      territory: random.integer(1, 3),
      seller: random.chance(0.3) ? null : random.integer(1, 4),
      status: random.pick(['created', 'paid', 'delivered', 'delivered']),
      placed: `2025-01-0${random.integer(1, 5)}`,
      note: String(random.bits()),
    }
  }

  #newItem(id: number, order: number): Item {
    const random = this.#random
    const price = `${random.integer(0, 99)}.${random.integer(10, 99)}`
    return { item_id: id, order_id: order, product: random.integer(1, 6), quantity: random.integer(1, 4), price }
  }

  #cells(): Cells {
    const sums = new Map<string, number[]>()
    const add = (key: string, ...values: number[]) => {
      const old = sums.get(key) ?? [0, 0, 0, 0]
      sums.set(
        key,
        old.map((value, index) => value + values[index]!),
      )
    }
    const cents = ({ quantity, price }: Item) => quantity * Math.round(Number(price) * 100)
    for (const order of this.#orders.values()) {
      const own = [...this.#items.values()].filter(item => item.order_id === order.order_id)
      const units = own.reduce((sum, { quantity }) => sum + quantity, 0)
      const value = own.reduce((sum, item) => sum + cents(item), 0)
      add(`day ${order.placed} ${order.territory} 0`, 1, units, value, own.length > 2 ? 1 : 0)
      if (order.status !== 'delivered') continue
      for (const item of own) add(`product 1970-01-01 0 ${item.product}`, 0, item.quantity, cents(item), 0)
    }
    return new Map([...sums].map(([key, [count, units, value, large]]) => [key, `${count} ${units} ${value} ${large}`]))
  }

  #statuses(): Cells {
    const sums = new Map<string, number>()
    for (const { status, seller } of this.#orders.values()) {
      const key = `${status} ${seller ?? -1}`
      sums.set(key, (sums.get(key) ?? 0) + 1)
    }
    return new Map([...sums].map(([key, count]) => [key, String(count)]))
  }
}

const sumsSql: Readonly<Record<string, string>> = {
  cells: `SELECT concat(grain, ' ', toString(day), ' ', toString(territory), ' ', toString(product)) AS key,
  concat(toString(sum(orders)), ' ', toString(sum(units)), ' ', toString(toInt64(sum(value) * 100)), ' ', toString(sum(large))) AS sums
FROM cells GROUP BY key HAVING sum(orders) != 0 OR sum(units) != 0 OR sum(value) != 0 OR sum(large) != 0`,
  statuses: `SELECT concat(status, ' ', toString(seller)) AS key, toString(sum(orders)) AS sums
FROM statuses GROUP BY key HAVING sum(orders) != 0`,
}

/** The cells of an aggregate, without those that are 0. */
export async function readCells(clickhouse: Clickhouse, { name }: Aggregate): Promise<Cells> {
  const rows = await clickhouse.rows<{ key: string; sums: string }>(sumsSql[name]!)
  return new Map(rows.map(({ key, sums }) => [key, sums]))
}

/** Cells that one side has and the other has not, as lines. */
export function differences(found: Cells, expected: Cells): string[] {
  return [...new Set([...found.keys(), ...expected.keys()])]
    .filter(key => found.get(key) !== expected.get(key))
    .map(key => `${key}: is ${found.get(key)}, should be ${expected.get(key)}`)
}

export async function optimizeAll(clickhouse: Clickhouse, aggregates: readonly Aggregate[]): Promise<void> {
  for (const name of [...aggregates.map(each => each.name), ...[orders, items].map(currentName)])
    await clickhouse.command(`OPTIMIZE TABLE ${quoteName(name)} FINAL`)
}

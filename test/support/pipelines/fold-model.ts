// test/support/pipelines/fold-model: two captured tables, and a model of two aggregates over them.

import type { Table } from '../../../contract/table.ts'
import { loadModel, type Model } from '../../../modeling/model.ts'
import { writeFixture } from '../harness/program.ts'

const column = (name: string, encoding: 'int' | 'long' | 'date' | 'string', nullable = false) =>
  ({ name, pgType: encoding, encoding, nullable }) as const

export const orders: Table = {
  schema: 'shop',
  name: 'orders',
  columns: [
    column('order_id', 'long'),
    column('territory', 'int'),
    column('seller', 'int', true),
    column('status', 'string'),
    column('placed', 'date'),
    column('note', 'string'),
  ],
  key: ['order_id'],
  partitionKey: ['order_id'],
}

export const items: Table = {
  schema: 'shop',
  name: 'order_items',
  columns: [
    column('item_id', 'long'),
    column('order_id', 'long'),
    column('product', 'int'),
    column('quantity', 'int'),
    { name: 'price', pgType: 'numeric(9,2)', encoding: 'decimal', precision: 9, scale: 2, nullable: false },
  ],
  key: ['item_id'],
  partitionKey: ['order_id'],
}

const manifest = `
requires: [shop.orders, shop.order_items]
publish: {}
aggregates:
  cells: { by: [order_id], of: [shop.orders, shop.order_items] }
  statuses: { by: [order_id], of: [shop.orders] }
`

/** `large` is no sum over rows: within one key, anything may be computed. */
const cellsSql = `
CREATE TABLE cells
(
    grain LowCardinality(String), day Date, territory Int32, product Int32,
    orders Int64, units Int64, value Decimal(38, 2), large Int64
)
ENGINE = SummingMergeTree
ORDER BY (grain, day, territory, product);

CREATE VIEW \`cells.contributions\` AS
SELECT
    cell.1 AS grain, cell.2 AS day, cell.3 AS territory, cell.4 AS product,
    sum(_sign) * cell.5 AS orders, sum(_sign) * cell.6 AS units, sum(_sign) * cell.7 AS value, sum(_sign) * cell.8 AS large
FROM
(
    SELECT _sign, arrayJoin(arrayConcat(
        [('day', toDate(placed), territory, 0, 1, order_units, order_value, length(lines) > 2)],
        arrayMap(line -> ('product', toDate(0), 0, line.1, 0, line.2, line.3, 0), if(status = 'delivered', lines, []))
    )) AS cell
    FROM \`shop.orders.rows\`
    LEFT JOIN
    (
        SELECT order_id, _sign,
            groupArray((product, quantity, quantity * toDecimal128(price, 2) AS line_value)) AS lines,
            sum(quantity) AS order_units, sum(line_value) AS order_value
        FROM \`shop.order_items.rows\`
        GROUP BY order_id, _sign
    ) AS lines_of_orders USING (order_id, _sign)
)
GROUP BY cell
HAVING sum(_sign) != 0;
`

const statusesSql = `
CREATE TABLE statuses (status String, seller Int32, orders Int64) ENGINE = SummingMergeTree ORDER BY (status, seller);

CREATE VIEW \`statuses.contributions\` AS
SELECT status, ifNull(seller, -1) AS seller, sum(_sign) AS orders FROM \`shop.orders.rows\` GROUP BY status, seller;
`

/** @param edit of the texts of all files */
export function foldModel(edit: (text: string) => string = text => text): Model {
  const files = {
    'model.yaml': edit(manifest),
    'clickhouse/100_cells.sql': edit(cellsSql),
    'clickhouse/200_statuses.sql': edit(statusesSql),
  }
  return loadModel(writeFixture(files), 'UTC')
}

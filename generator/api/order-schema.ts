// generator/api/order-schema: orders in requests and responses of the HTTP API.
// Amounts of money are decimal texts, because JSON numbers are not exact.

import { z } from 'zod'
import { statuses } from '../shop/operation.ts'

/** Ids that a JSON number represents exactly. */
export const id = z.int().min(1).max(Number.MAX_SAFE_INTEGER)
const smallId = z.int().min(1).max(2_147_483_647)
/** A whole number in a path or query, where it is a text. */
export function whole(least: number, most: number) {
  return z
    .string()
    .regex(/^(0|[1-9]\d{0,15})$/)
    .transform(Number)
    .pipe(z.int().min(least).max(most))
}

const time = z.iso.datetime({ offset: true, precision: 3 })
const money = z.string().regex(/^\d{1,13}\.\d{2}$/)

/** The constraint of shop.orders, and not later than now. */
const bounds = { least: Date.UTC(2000, 0, 1) }

const newItem = z
  .strictObject({
    product_id: smallId,
    quantity: z.int().min(1).max(1_000).default(1),
    price: money
      .optional()
      .meta({ description: 'Price of one piece; the present price of the product when it is left out.' }),
  })
  .meta({ description: 'A line of the order.' })

export const newOrderSchema = z
  .strictObject({
    customer_id: id.optional(),
    shop_id: smallId.optional(),
    employee_id: smallId.optional(),
    traffic_source_id: smallId.optional(),
    ordered_at: z.iso
      .datetime({ offset: true })
      .refine(text => Date.parse(text) >= bounds.least, 'must not lie before 2000-01-01')
      .refine(text => Date.parse(text) <= Date.now(), 'must not lie in the future')
      .optional()
      .meta({ description: 'From 2000-01-01 to now, with a time zone; now when it is left out.' }),
    items: z.array(newItem).min(1).max(50).optional(),
  })
  .meta({ description: 'What is left out is drawn at random: {} is an order like any other.' })

export type NewOrder = z.output<typeof newOrderSchema>

export const orderSchema = z.strictObject({
  order_id: id,
  customer_id: id,
  shop_id: smallId,
  employee_id: smallId.nullable(),
  sales_territory_id: smallId,
  traffic_source_id: smallId.nullable(),
  status: z.enum(statuses),
  ordered_at: time,
  paid_at: time.nullable(),
  shipped_at: time.nullable(),
  delivered_at: time.nullable(),
  cancelled_at: time.nullable(),
  returned_at: time.nullable(),
  updated_at: time,
  items: z.array(
    z.strictObject({
      order_item_id: id,
      product_id: smallId,
      quantity: z.int(),
      price: money,
      cost_price: money,
    }),
  ),
})

export type Order = z.output<typeof orderSchema>

/** The columns of an order in this JSON form, from `shop.orders AS o`. */
export const orderJson = `json_build_object(
  'order_id', o.order_id, 'customer_id', o.customer_id, 'shop_id', o.shop_id, 'employee_id', o.employee_id,
  'sales_territory_id', o.sales_territory_id, 'traffic_source_id', o.traffic_source_id, 'status', o.status,
  ${['ordered', 'paid', 'shipped', 'delivered', 'cancelled', 'returned', 'updated']
    .map(step => `'${step}_at', to_char(o.${step}_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`)
    .join(', ')},
  'items', coalesce((SELECT json_agg(json_build_object('order_item_id', i.order_item_id, 'product_id', i.product_id,
    'quantity', i.quantity, 'price', i.price::text, 'cost_price', i.cost_price::text) ORDER BY i.order_item_id)
    FROM shop.order_items i WHERE i.order_id = o.order_id), '[]'))`

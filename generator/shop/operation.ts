// generator/shop/operation: the operations of the simulation, as data.
// `at` is the time of the operation in milliseconds since the Unix epoch.

import type { Line, Sale } from './basket.ts'
import type { Customer } from './person.ts'
import type { Employee } from './staff.ts'
import type { Visit } from './visits.ts'

export const statuses = ['created', 'paid', 'shipped', 'delivered', 'returned', 'cancelled'] as const
export type Status = (typeof statuses)[number]

/** The statuses of a normal order, in sequence. */
export const nextStatus: Partial<Record<Status, Status>> = { created: 'paid', paid: 'shipped', shipped: 'delivered' }

export type Operation =
  | {
      readonly kind: 'order'
      readonly id: number
      readonly customer: number
      readonly sale: Sale
      readonly lines: readonly (Line & { readonly id: number })[]
      /** The visit that ended in the order. */
      readonly visit?: Visit | undefined
      readonly at: Date
    }
  | { readonly kind: 'step'; readonly order: number; readonly from: Status; readonly to: Status; readonly at: Date }
  | { readonly kind: 'quantity'; readonly item: number; readonly quantity: number }
  /** Moves the sale to another territory and `days` into the past. */
  | {
      readonly kind: 'correction'
      readonly order: number
      readonly territory: number
      readonly days: number
      readonly at: Date
    }
  | { readonly kind: 'removal'; readonly order: number; readonly items: number }
  | { readonly kind: 'visit'; readonly visit: Visit }
  | {
      readonly kind: 'price'
      readonly product: number
      readonly cents: number
      readonly costCents: number
      readonly at: Date
    }
  | { readonly kind: 'registration'; readonly customer: Customer }
  | {
      readonly kind: 'move'
      readonly customer: number
      readonly city: string
      readonly country: string
      readonly at: Date
    }
  | { readonly kind: 'hiring'; readonly employee: Employee }
  | { readonly kind: 'departure'; readonly employee: number; readonly at: Date }
  | { readonly kind: 'transfer'; readonly employee: number; readonly territory: number }
  | { readonly kind: 'handover'; readonly shop: number; readonly territory: number }
  | { readonly kind: 'renaming'; readonly territory: number; readonly name: string }

/** Operations that change what later orders refer to. */
export type ReferenceChange = Extract<
  Operation,
  { readonly kind: 'price' | 'hiring' | 'departure' | 'transfer' | 'handover' | 'renaming' }
>

export type Identity = 'order' | 'item' | 'customer' | 'employee'

/** Reserved ids that no other writer uses. */
export interface IdSource {
  next(of: Identity): number
  /** Whether another id is left. */
  has(of: Identity): boolean
}

/** Number of row changes of the operation. */
export function changesOf(operation: Operation): number {
  if (operation.kind === 'order') return 1 + operation.lines.length + (operation.visit === undefined ? 0 : 1)
  if (operation.kind === 'removal') return 1 + operation.items
  return 1
}

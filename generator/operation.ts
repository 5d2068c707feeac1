// generator/operation: the things that happen in a shop, as data.
// May know: generator/{basket,person}. `at` is the time it happens at.

import type { Line, Sale } from './basket.ts'
import type { Customer } from './person.ts'

export type Status = 'created' | 'paid' | 'shipped' | 'delivered' | 'returned' | 'cancelled'

export type Operation =
  | {
      readonly kind: 'order'
      readonly id: number
      readonly customer: number
      readonly sale: Sale
      readonly lines: readonly (Line & { readonly id: number })[]
      readonly at: Date
    }
  | { readonly kind: 'step'; readonly order: number; readonly from: Status; readonly to: Status; readonly at: Date }
  | { readonly kind: 'quantity'; readonly item: number; readonly quantity: number }
  /** The sale counts for another territory, `days` earlier. */
  | {
      readonly kind: 'correction'
      readonly order: number
      readonly territory: number
      readonly days: number
      readonly at: Date
    }
  | { readonly kind: 'removal'; readonly order: number; readonly items: number }
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
  | { readonly kind: 'transfer'; readonly employee: number; readonly territory: number }

/** How many row changes the operation makes. */
export function changesOf(operation: Operation): number {
  if (operation.kind === 'order') return 1 + operation.lines.length
  if (operation.kind === 'removal') return 1 + operation.items
  return 1
}

// postgres/preflight/check: what a check of the source is, and what it finds.

import type { Named, SourceTable } from '../catalog/catalog.ts'
import type { Client } from '../client/client.ts'

/** `unknown`: the check itself could not be carried out, so nothing is known. */
export type CheckState = 'pass' | 'warn' | 'fail' | 'unknown'

export interface Finding {
  readonly state: CheckState
  /** What there is, as a sentence or a value. */
  readonly found: string
  /** What to do about it. */
  readonly fix?: string
  /** Statements that do it, in this order; each may be repeated. */
  readonly sql?: readonly string[]
}

type Passing = 'POSTGRES_READ_ONLY' | 'POSTGRES_BUSY'

export interface Check extends Finding {
  readonly name: string
  /** What it is needed for. */
  readonly why: string
  readonly passing?: Passing | undefined
}

/** A table that matches a pattern and cannot be captured. */
export interface LeftOut extends Named {
  /** A sentence about the table. */
  readonly reason: string
}

export interface PreflightContext {
  readonly client: Client
  readonly tables: readonly SourceTable[]
  readonly leftOut: readonly LeftOut[]
  /** Name of the slot that the generation has or will have. */
  readonly slot: string
  /** That others made; undefined where the generation makes one of its own. */
  readonly publication: string | undefined
}

export interface CheckDefinition {
  readonly name: string
  readonly why: string
  /** Asked before a generation begins; one that is live goes on without it. */
  readonly onlyToBegin?: true
  /** What a live generation meets when it fails, because it may pass by itself; left out when it does not. */
  readonly passing?: Passing
  run(context: PreflightContext): Promise<Finding>
}

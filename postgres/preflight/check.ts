// postgres/preflight/check: the shape of a check of the source, and of its result.

import type { Named, SourceTable } from '../catalog/catalog.ts'
import type { Client } from '../client/client.ts'

/** `unknown`: the check itself failed, so its result is not known. */
export type CheckState = 'pass' | 'warn' | 'fail' | 'unknown'

export interface Finding {
  readonly state: CheckState
  /** The present state, as a sentence or a value. */
  readonly found: string
  /** The remedy, as a sentence. */
  readonly fix?: string
  /** SQL statements of the remedy, in this order. Each may be repeated. */
  readonly sql?: readonly string[]
}

type Passing = 'POSTGRES_READ_ONLY' | 'POSTGRES_BUSY'

export interface Check extends Finding {
  readonly name: string
  /** The reason why the check is needed. */
  readonly why: string
  readonly passing?: Passing | undefined
}

/** A table that matches a pattern and cannot be captured. */
export interface LeftOut extends Named {
  /** The reason, as a sentence about the table. */
  readonly reason: string
}

export interface PreflightContext {
  readonly client: Client
  readonly tables: readonly SourceTable[]
  readonly leftOut: readonly LeftOut[]
  /** Name of the slot that the generation has or will have. */
  readonly slot: string
  /**
   * An existing publication that the pipeline uses; undefined where the generation creates its own.
   */
  readonly publication: string | undefined
}

export interface CheckDefinition {
  readonly name: string
  readonly why: string
  /** Only before a generation begins. A live generation does not need it. */
  readonly onlyToBegin?: true
  /**
   * The error of a live generation when the check fails, where the cause may pass by itself;
   * otherwise left out.
   */
  readonly passing?: Passing
  run(context: PreflightContext): Promise<Finding>
}

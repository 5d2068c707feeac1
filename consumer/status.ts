// consumer/status: what the consumer says about itself at GET /status.
// May know: consumer/freshness. The shape that `millrace status` and the demo read.

import type { FreshnessSummary } from './freshness.ts'

export interface ConsumerStatus {
  readonly generation: number
  readonly database: string
  /** The newest watermark that is visible; undefined until the initial load has been folded. */
  readonly watermark: { readonly lsn: number; readonly commitTimeUs: number } | undefined
  /** The newest watermark known. */
  readonly newest: { readonly lsn: number; readonly commitTimeUs: number } | undefined
  /** Commit → visible in ms over the last minute; undefined when nothing changed. */
  readonly freshness: FreshnessSummary | undefined
  /** Records folded since the process started, and of these by table. */
  readonly changes: number
  readonly tables: Readonly<
    Record<string, { readonly folded: number; readonly positions: Readonly<Record<string, number>> }>
  >
}

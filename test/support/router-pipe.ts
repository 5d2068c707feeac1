// test/support/router-pipe: a router over one table, whose records are kept and read back by avsc.

import { AvroWriter } from '../../contract/avro-writer.ts'
import type { DeadLetter } from '../../contract/dead-letter.ts'
import type { Position } from '../../contract/position.ts'
import type { Table } from '../../contract/table.ts'
import type { Relation } from '../../postgres/protocol/pgoutput.ts'
import { Tuple } from '../../postgres/protocol/tuple.ts'
import type { CapturedTable, Guard } from '../../producer/capture/captured-table.ts'
import { partitionOf } from '../../producer/capture/partition.ts'
import { Heartbeats } from '../../producer/stream/heartbeats.ts'
import { Router, type RouterOptions } from '../../producer/stream/router.ts'
import { DeadLetters } from '../../producer/write/dead-letters.ts'
import { Replay, type TailHead } from '../../producer/write/replay.ts'
import { TableWriter } from '../../producer/write/table-writer.ts'
import { createDecoder } from './decode.ts'
import { MemorySink } from './memory-sink.ts'
import { quietLog } from './services.ts'
import { textRow } from './text-row.ts'

const table: Table = {
  schema: 'public',
  name: 'items',
  columns: [
    { name: 'id', pgType: 'bigint', encoding: 'long', nullable: false },
    { name: 'order', pgType: 'bigint', encoding: 'long', nullable: false },
    { name: 'price', pgType: 'numeric(9,2)', encoding: 'decimal', precision: 9, scale: 2, nullable: true },
    { name: 'note', pgType: 'text', encoding: 'string', nullable: true },
  ],
  key: ['id'],
  partitionKey: ['order'],
}

export const relation: Relation = {
  oid: 7,
  schema: 'public',
  name: 'items',
  replicaIdentity: 'f',
  columns: table.columns.map(({ name }, index) => ({ name, typeOid: 20 + index, typeModifier: -1, inKey: true })),
}

export const partitions = 4

export interface Pipe {
  readonly router: Router
  readonly heartbeats: Heartbeats
  readonly replay: Replay
  readonly sink: MemorySink
  readonly commits: [number, number][]
  letters(): DeadLetter[]
  /** Operation, partition, position and images of every record. */
  records(): unknown[][]
}

interface PipeOptions {
  readonly onRefusal?: 'stop' | 'divert'
  readonly tails?: (Position | undefined)[]
  readonly letterTail?: Position
  /** As the last watermark says. */
  readonly durable?: number
  readonly replayed?: readonly TailHead[]
  readonly maxRecordBytes?: number
  readonly deferrableKey?: boolean
  readonly guard?: Guard
  readonly onHeldBack?: RouterOptions['onHeldBack']
  readonly onForeign?: RouterOptions['onForeign']
  /** As they were captured. */
  readonly columns?: Relation['columns']
  readonly kind?: 'r' | 'p'
}

/** A personal table whose note is masked. */
export const guarded: Guard = {
  policies: ['keep', 'keep', 'keep', 'mask'],
  hashKey: undefined,
  personal: true,
  unclassified: [],
  dropped: [],
}

export function openPipe(options: PipeOptions = {}): Pipe {
  const { onRefusal = 'stop', tails, letterTail, maxRecordBytes = 1_000_000, deferrableKey = false } = options
  const { durable = 0, replayed = [] } = options
  const sink = new MemorySink()
  const commits: [number, number][] = []
  const captured: CapturedTable = {
    table,
    oid: 7,
    kind: options.kind ?? 'r',
    columns: options.columns ?? relation.columns,
    identityColumns: [0, 1],
    partitionColumns: [1],
    partitions,
    group: 'public.items',
    onRefusal,
    deferrableKey,
    ...(options.guard === undefined ? {} : { guard: options.guard }),
  }
  const output = new TableWriter({
    captured,
    topic: 't.1.public.items',
    topicIndex: 1,
    schemaIds: { key: 1, value: 2 },
    maxRecordBytes,
    tails: tails ?? Array.from({ length: partitions }, () => undefined),
    durable,
    sink,
    writer: new AvroWriter(),
  })
  const deadLetters = new DeadLetters({ sink, topicIndex: 0, maxRecordBytes, tail: letterTail, durable })
  const { onHeldBack = () => {}, onForeign = () => {} } = options
  const onCommit = (...commit: [number, number]) => void commits.push(commit)
  const heartbeats = new Heartbeats('t_1', quietLog())
  const replay = new Replay(replayed)
  const router = new Router({ writers: [output], deadLetters, heartbeats, replay, onCommit, onHeldBack, onForeign })
  if (!options.columns) router.relation(relation)
  const decoder = createDecoder(table)
  return {
    router,
    heartbeats,
    replay,
    sink,
    commits,
    letters: () =>
      sink.records
        .filter(({ topicIndex }) => topicIndex === 0)
        .map(({ value }) => JSON.parse(value.toString()) as DeadLetter),
    records: () =>
      sink.records
        .filter(({ topicIndex }) => topicIndex === 1)
        .map(({ partition, value }) => {
          const { op, lsn, ordinal, before, after } = decoder.value(value)
          return [op, partition, lsn, ordinal, before && Object.values(before), after && Object.values(after)]
        }),
  }
}

export function tuple(...values: (string | null | undefined)[]): Tuple {
  const row = textRow(values.map(value => value ?? null))
  return Object.assign(new Tuple(), row, {
    kinds: Uint8Array.from(values, value => (value === undefined ? 0x75 : value === null ? 0x6e : 0x74)),
  })
}

export function partitionOfOrder(order: string): number {
  return partitionOf(textRow([order]), [0], partitions)
}

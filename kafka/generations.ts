// producer/generation-log: the compacted topic that says what became of every generation.
// May know: contract/generation, kafka, runtime/config.

import { type Generation, generationsTopic } from '../contract/generation.ts'
import type { KafkaConnection } from '../kafka/cluster.ts'
import { readCompacted } from '../kafka/compacted.ts'
import type { Fetcher } from '../kafka/fetch.ts'
import { openSink } from '../kafka/sink.ts'

/** The last word on every generation, in no particular order. */
export async function readGenerations(fetcher: Fetcher, pipeline: string, signal: AbortSignal): Promise<Generation[]> {
  const values = await readCompacted(fetcher, generationsTopic(pipeline), signal)
  return [...values.values()].map(json => JSON.parse(json) as Generation)
}

/** Resolves once the record is durable. */
export async function writeGeneration(kafka: KafkaConnection, pipeline: string, generation: Generation): Promise<void> {
  const topics = [{ name: generationsTopic(pipeline), partitions: 1, shared: true }]
  const sink = await openSink(kafka, { topics, compression: 'none', onDurable: () => {}, onError: () => {} })
  try {
    const key = Buffer.from(String(generation.number))
    const record = Buffer.concat([key, Buffer.from(JSON.stringify(generation))])
    sink.append(0, 0, record, 0, key.length, key.length, record.length)
    await sink.flush()
  } finally {
    await sink.close()
  }
}

// contract/generation: one numbered copy of the source downstream, and the records that describe
// it. A generation is {slot, topics, consumer group, ClickHouse database}. Its number is never used
// again.

import { generationPrefix } from './names.ts'

/**
 * `announced`: nothing of it exists yet, so everything that exists belongs to a recorded
 * generation. `loading`: its topics and schemas exist, and the snapshot is not yet completely in
 * Kafka. `abandoned`: a crash interrupted the load. `dropped`: it was live, and an operator has
 * removed it.
 */
export type GenerationState = 'announced' | 'loading' | 'live' | 'abandoned' | 'dropped'

/**
 * Format of the records below. A record with another format was written by another version of
 * millrace.
 */
export const generationFormat = 4

/**
 * Value of a record in the compacted topic `<name>.generations`, as JSON; the key is the number in
 * decimal.
 */
export interface Generation {
  readonly format: typeof generationFormat
  readonly number: number
  /**
   * Random. It distinguishes two generations with the same number, in case the topic of generations
   * was lost.
   */
  readonly id: string
  readonly state: GenerationState
  readonly slot: string
  /**
   * The publication of the setting `source.publication`, which others created; absent if the
   * generation has its own.
   */
  readonly publication?: string | undefined
  /**
   * System identifier of the database cluster and name of the database. LSNs are comparable only
   * within one cluster.
   */
  readonly source: string
  /** Timeline of the server at that time; the watermarks contain later ones. */
  readonly timeline: number
  /** Id of the Kafka cluster that has its topics. */
  readonly kafkaCluster: string
  /**
   * The setting of the same name, and `refusalRules`. Whether a row is refused depends on these two
   * and on the row only.
   */
  readonly maxRecordBytes: number
  readonly refusalRules: number
  /** Where the snapshot ends and the stream begins; 0 until the slot is created. */
  readonly consistentPoint: number
  readonly tables: readonly GenerationTable[]
}

export interface GenerationTable {
  readonly schema: string
  readonly table: string
  readonly topic: string
  readonly partitions: number
  /** Tables of one group share partition count and partition key, and are inserted together. */
  readonly group: string
}

/**
 * Value of a record in `<name>.<generation>.watermarks` (one partition), as JSON. Every change
 * committed before `lsn` is in the topics, below `offsets[i][p]` for table i of the generation and
 * its partition p.
 */
export interface Watermark {
  readonly lsn: number
  /**
   * Commit time of the last transaction before `lsn`, µs since the Unix epoch, by the source's
   * clock.
   */
  readonly commitTimeUs: number
  /** Timeline of the server that the changes were read from. */
  readonly timeline: number
  readonly offsets: readonly (readonly number[])[]
  /**
   * Index of each partitioned table that was truncated as a whole, and the LSN of the last TRUNCATE
   * that has been read.
   */
  readonly truncated?: readonly (readonly [table: number, lsn: number])[]
  /**
   * The producer's dead letters about changes committed before `lsn` are below this offset of its
   * partition.
   */
  readonly letters: number
}

/**
 * A commit time that every reader can represent: after 1970 and below 2^53 µs, which is in the year
 * 2255.
 */
export function isCommitTime(us: number): boolean {
  return Number.isSafeInteger(us) && us > 0
}

/** Undefined for a record of another shape, which millrace did not write for these tables. */
export function parseWatermark(value: Buffer | null, tables: readonly GenerationTable[]): Watermark | undefined {
  const isCount = (number: unknown) => Number.isSafeInteger(number) && (number as number) >= 0
  try {
    const watermark = JSON.parse(String(value)) as Watermark
    const { lsn, commitTimeUs, timeline, offsets, letters, truncated = [] } = watermark
    const isComplete =
      offsets.length === tables.length &&
      tables.every(({ partitions }, table) => offsets[table]!.length === partitions && offsets[table]!.every(isCount))
    const isPair = (pair: readonly number[]) => pair.length === 2 && pair.every(isCount)
    const isRight = isComplete && [lsn, timeline, letters].every(isCount) && isCommitTime(commitTimeUs)
    return isRight && truncated.every(isPair) ? watermark : undefined
  } catch {
    return undefined
  }
}

export function generationsTopic(pipeline: string): string {
  return `${pipeline}.generations`
}

export function watermarksTopic(pipeline: string, generation: number): string {
  return `${generationPrefix(pipeline, generation)}watermarks`
}

/** Every topic of a generation. */
export function generationTopics(
  pipeline: string,
  { number, tables }: Pick<Generation, 'number' | 'tables'>,
): string[] {
  const own = [watermarksTopic, deadLettersTopic, catalogTopic].map(name => name(pipeline, number))
  return [...tables.map(({ topic }) => topic), ...own]
}

export function deadLettersTopic(pipeline: string, generation: number): string {
  return `${generationPrefix(pipeline, generation)}dead-letters`
}

/**
 * The topic of the captured tables' definitions in the source's catalog. Only the producer reads
 * and writes it.
 */
export function catalogTopic(pipeline: string, generation: number): string {
  return `${generationPrefix(pipeline, generation)}catalog`
}

/**
 * A generation's own publication. Another generation's choice of tables must not change this one's
 * stream.
 */
export function publicationName(pipeline: string, generation: number): string {
  return `${pipeline}_${generation}`
}

/**
 * The publication of a generation's changes: its own, or the one of the setting
 * `source.publication`.
 */
export function publicationOf(
  pipeline: string,
  { number, publication }: Pick<Generation, 'number' | 'publication'>,
): string {
  return publication ?? publicationName(pipeline, number)
}

/**
 * A slot cannot have a comment as an owner mark. If the generation has its own publication, slot
 * and publication have the same name, and the publication has the mark. Otherwise the slot's name
 * contains the random id, which no other program could have chosen.
 */
export function slotName(
  pipeline: string,
  { number, id, publication }: Pick<Generation, 'number' | 'id' | 'publication'>,
): string {
  const name = publicationName(pipeline, number)
  return publication === undefined ? name : `${name}_${id.replaceAll('-', '').slice(0, slotIdDigits)}`
}

/** The name of a slot has at most 63 characters, the name of a pipeline at most 31. */
const slotIdDigits = 16

/**
 * Number of the generation to which a slot or publication of this name would belong; undefined for
 * other names.
 */
export function numberInName(pipeline: string, name: string): number | undefined {
  const rest = name.startsWith(`${pipeline}_`) ? name.slice(pipeline.length + 1) : ''
  const [, digits] = /^([1-9]\d{0,8})(?:_[0-9a-f]{16})?$/.exec(rest) ?? []
  return digits === undefined ? undefined : Number(digits)
}

export function consumerGroup(pipeline: string, generation: number): string {
  return `${generationPrefix(pipeline, generation)}fold`
}

export function generationDatabase(pipeline: string, generation: number): string {
  return `${pipeline}_${generation}`
}

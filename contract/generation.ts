// contract/generation: one numbered attempt to hold the source downstream, and the records that describe it.
// A generation is {slot, topics, consumer group, ClickHouse database}, never reused once abandoned.

import { generationPrefix } from './names.ts'

/**
 * `announced` before anything of it is made, so that nothing of it ever stands there without a record; `loading` from when its topics and
 * schemas stand until the snapshot is in Kafka whole; `abandoned` when a crash cut the load off; `dropped` when it was live and
 * somebody has removed it. A number is never used again.
 */
export type GenerationState = 'announced' | 'loading' | 'live' | 'abandoned' | 'dropped'

/** Of the records below; one of another format was written by another version of millrace. */
export const generationFormat = 4

/** Value of a record in the compacted topic `<name>.generations`, as JSON; the key is the number in decimal. */
export interface Generation {
  readonly format: typeof generationFormat
  readonly number: number
  /** Random: tells it from another generation of this number, in case the topic that counts them was lost. */
  readonly id: string
  readonly state: GenerationState
  readonly slot: string
  /** That others made, as the setting `source.publication` named it; left out where the generation has one of its own. */
  readonly publication?: string | undefined
  /** System identifier of the database cluster and name of the database: LSNs of another mean nothing here. */
  readonly source: string
  /** Timeline of the server at that time; later ones stand in the watermarks. */
  readonly timeline: number
  /** Id of the Kafka cluster that holds its topics. */
  readonly kafkaCluster: string
  /** Setting of the same name, and `refusalRules`: which rows are refused follows from the two and from the row alone. */
  readonly maxRecordBytes: number
  readonly refusalRules: number
  /** Where the snapshot ends and the stream begins; 0 while the slot is not yet made. */
  readonly consistentPoint: number
  readonly tables: readonly GenerationTable[]
}

export interface GenerationTable {
  readonly schema: string
  readonly table: string
  readonly topic: string
  readonly partitions: number
  /** Tables of one group share partition count and partition key, and are folded together. */
  readonly group: string
}

/**
 * Value of a record in `<name>.<generation>.watermarks` (one partition), as JSON: every change committed before `lsn`
 * stands in the topics below `offsets[i][p]`, where i counts the generation's tables and p their partitions.
 */
export interface Watermark {
  readonly lsn: number
  /** Commit time of the last transaction covered, µs since the Unix epoch, by the source's clock. */
  readonly commitTimeUs: number
  /** Timeline of the server that the changes were read from. */
  readonly timeline: number
  readonly offsets: readonly (readonly number[])[]
  /** Of partitioned tables that were truncated as a whole: their numbers, and the LSN of the last TRUNCATE that has been read. */
  readonly truncated?: readonly (readonly [table: number, lsn: number])[]
  /** The producer's dead letters about changes committed before `lsn` stand below this offset of its partition. */
  readonly letters: number
}

/** A commit time that every reader can hold: after 1970, and as a number of µs below 2^53, which is in the year 2255. */
export function isCommitTime(us: number): boolean {
  return Number.isSafeInteger(us) && us > 0
}

/** Undefined for a record that is not of this shape, and so not one that millrace wrote for these tables. */
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

/** What the source's catalog said of each captured table; the producer alone reads and writes it. */
export function catalogTopic(pipeline: string, generation: number): string {
  return `${generationPrefix(pipeline, generation)}catalog`
}

/** The publication of a generation's own, so that another generation's choice of tables never changes this one's stream. */
export function publicationName(pipeline: string, generation: number): string {
  return `${pipeline}_${generation}`
}

/** The publication that a generation's changes are sent by: its own, or the one that others made. */
export function publicationOf(
  pipeline: string,
  { number, publication }: Pick<Generation, 'number' | 'publication'>,
): string {
  return publication ?? publicationName(pipeline, number)
}

/**
 * A slot has no comment that could say whose it is. Beside a publication of the generation's own it has the name of that one, which has a
 * comment. Beside one that others made its name holds the random id, which nobody else could have chosen.
 */
export function slotName(
  pipeline: string,
  { number, id, publication }: Pick<Generation, 'number' | 'id' | 'publication'>,
): string {
  const name = publicationName(pipeline, number)
  return publication === undefined ? name : `${name}_${id.replaceAll('-', '').slice(0, slotIdDigits)}`
}

/** A name of a slot has 63 characters at most, and that of a pipeline 31. */
const slotIdDigits = 16

/** Number of the generation that a slot or a publication of this name would belong to; undefined for every other name. */
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

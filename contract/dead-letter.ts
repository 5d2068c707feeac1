// contract/dead-letter: a record that could not be represented, decoded or applied, with everything needed to try again.

/**
 * The dead-letter topic has a partition per writer, so that each finds its own last letter at the end of one and writes none twice.
 */
export const deadLetterPartitions = { producer: 0, consumer: 1 } as const

/** Value of a record in `<name>.<generation>.dead-letters`, as JSON. Letters with the same key are about the same image or record. */
export interface DeadLetter {
  readonly code: string
  readonly what: string
  readonly next: string
  /** ISO 8601, by the clock of the process that set the record aside. */
  readonly at: string
  readonly schema?: string
  readonly table?: string
  /** Set by the producer: where the change stood, and the refused image's columns in Postgres' text form (null = NULL). */
  readonly change?: {
    readonly lsn: number
    readonly ordinal: number
    readonly op: string
    readonly image: 'before' | 'after'
    readonly row: Readonly<Record<string, string | null>>
    /** Columns that are not in `row`, because a letter with them is larger than a record may be: the bytes of their text, and its SHA-256 in hex. */
    readonly cut?: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>
  }
  /** Set by the consumer: where the record stands, and its bytes in base64. */
  readonly record?: {
    readonly topic: string
    readonly partition: number
    readonly offset: number
    readonly key: string | null
    readonly value: string | null
    /** Set when only this image of the record was set aside, since ClickHouse cannot store it; otherwise the record is not ours at all. */
    readonly image?: 'before' | 'after'
    /** Set when key and value are larger than a letter may be: they were cut after so many bytes of each, and stand whole in the topic. */
    readonly cutAfter?: number
  }
}

/** Key of a letter of the consumer. */
export function recordLetterKey({ topic, partition, offset, image }: NonNullable<DeadLetter['record']>): string {
  return [topic, partition, offset, ...(image ? [image] : [])].join('/')
}

// contract/dead-letter: a row or record that could not be encoded, decoded or inserted, with
// everything needed to repair it.

/**
 * The dead-letter topic has one partition per writer. So each writer finds its own last dead letter
 * at the end of its partition, and writes none twice.
 */
export const deadLetterPartitions = { producer: 0, consumer: 1 } as const

/**
 * Value of a record in `<name>.<generation>.dead-letters`, as JSON. Dead letters with the same key
 * are about the same image or record.
 */
export interface DeadLetter {
  readonly code: string
  readonly what: string
  readonly next: string
  /** ISO 8601, by the clock of the process that wrote the dead letter. */
  readonly at: string
  readonly schema?: string
  readonly table?: string
  /**
   * Set by the producer: the change's position, and the columns of the refused image in Postgres'
   * text form (null = NULL).
   */
  readonly change?: {
    readonly lsn: number
    readonly ordinal: number
    readonly op: string
    readonly image: 'before' | 'after'
    readonly row: Readonly<Record<string, string | null>>
    /**
     * Columns left out of `row`, because the dead letter would exceed the limit of a record: bytes
     * of the text, and its SHA-256 in hex.
     */
    readonly cut?: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>
  }
  /** Set by the consumer: the record's topic, partition and offset, and its bytes in base64. */
  readonly record?: {
    readonly topic: string
    readonly partition: number
    readonly offset: number
    readonly key: string | null
    readonly value: string | null
    /**
     * Set when ClickHouse cannot store this image of the record. Without it, the record was not
     * written by millrace.
     */
    readonly image?: 'before' | 'after'
    /**
     * Set when key and value exceed the limit of a dead letter: each was cut after so many bytes.
     * The topic has the whole record.
     */
    readonly cutAfter?: number
  }
}

/** The key of a dead letter that the consumer writes. */
export function recordLetterKey({ topic, partition, offset, image }: NonNullable<DeadLetter['record']>): string {
  return [topic, partition, offset, ...(image ? [image] : [])].join('/')
}

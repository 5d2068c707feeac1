// runtime/errors: every failure that a user can meet, with its code, and the class that carries it.

import { indented } from './printable.ts'

/**
 * Indents further lines of a part more than the labels, so that a name with a line break cannot
 * imitate a label.
 */
const further = '    '

/**
 * What the process does on this error: `retry` after a pause, or `stop` until an operator has
 * acted. The text is the general meaning. The error itself says what is wrong, where, and what to
 * do next.
 */
export const errorCodes = {
  CONFIG_INVALID: { policy: 'stop', meaning: 'the configuration cannot be used as it is written' },
  USAGE: { policy: 'stop', meaning: 'the command line cannot be used as it is written' },
  KAFKA_UNREACHABLE: { policy: 'retry', meaning: 'no broker of the Kafka cluster answers' },
  KAFKA_DENIED: { policy: 'stop', meaning: 'the Kafka cluster refuses the user or lacks a permission for it' },
  KAFKA_REFUSED: { policy: 'stop', meaning: 'a Kafka broker refused a request' },
  TOPIC_MISSING: { policy: 'stop', meaning: 'a topic that was there before is gone' },
  TOPIC_PARTITIONS_CHANGED: { policy: 'stop', meaning: 'a topic does not have the number of partitions it must have' },
  PRODUCE_REJECTED: {
    policy: 'retry',
    meaning: 'Kafka refused a batch, so it is unknown which records after the last acknowledgement are stored',
  },
  PRODUCE_CONFLICT: { policy: 'retry', meaning: 'another process writes to a topic that has a single writer' },
  RECORD_TOO_LARGE: { policy: 'stop', meaning: 'a record is larger than Kafka is configured to accept' },
  BATCH_UNREADABLE: { policy: 'stop', meaning: 'records in a topic are damaged or have an unsupported format' },
  REGISTRY_UNREACHABLE: { policy: 'retry', meaning: 'the schema registry does not answer' },
  REGISTRY_REFUSED: { policy: 'stop', meaning: 'the schema registry refused a request' },
  POSTGRES_UNREACHABLE: { policy: 'retry', meaning: 'Postgres did not answer, or the connection was lost' },
  POSTGRES_BUSY: {
    policy: 'retry',
    meaning: 'Postgres is short of connections, memory or disk, or a lock was not free',
  },
  POSTGRES_DENIED: { policy: 'stop', meaning: 'Postgres refuses the user, or the user lacks a right' },
  POSTGRES_READ_ONLY: {
    policy: 'retry',
    meaning: 'Postgres accepts no writes at the moment: the address leads to a standby, as it may during a failover',
  },
  POSTGRES_POOLER: {
    policy: 'stop',
    meaning: 'a connection pooler in front of Postgres does not keep the settings of a session',
  },
  POSTGRES_FAILED: { policy: 'stop', meaning: 'Postgres refused a statement that it should accept' },
  SLOT_ACTIVE: { policy: 'retry', meaning: 'another connection reads the replication slot' },
  DECODING_FAILED: { policy: 'retry', meaning: 'Postgres could not decode its log for the replication slot' },
  SLOT_LOST: {
    policy: 'stop',
    meaning: 'the replication slot is missing, or no longer has the changes that are needed',
  },
  SOURCE_WENT_BACK: {
    policy: 'stop',
    meaning: 'the source database no longer has changes that were already captured from it',
  },
  PUBLICATION_MISSING: { policy: 'stop', meaning: 'the publication is missing, or is newer than the changes to read' },
  SNAPSHOT_LOST: { policy: 'retry', meaning: 'the snapshot of the initial load can no longer be used' },
  STREAM_CORRUPT: { policy: 'stop', meaning: 'bytes from Postgres do not follow its protocol' },
  PREFLIGHT_FAILED: { policy: 'stop', meaning: 'the source database lacks something that capture needs' },
  TABLE_NOT_CAPTURABLE: { policy: 'stop', meaning: 'a table cannot be captured as it is' },
  REPLICA_IDENTITY: { policy: 'stop', meaning: 'a captured table does not log whole old rows' },
  VALUE_REFUSED: {
    policy: 'stop',
    meaning: 'a row cannot be represented downstream, and its table is configured to stop',
  },
  TRANSACTION_TOO_LARGE: { policy: 'stop', meaning: 'a transaction needs more memory than is allowed' },
  GROUP_ACTIVE: { policy: 'retry', meaning: 'a consumer still reads the topics or the group to remove' },
  SERVICES_RUNNING: { policy: 'stop', meaning: 'a service still uses the data to be destroyed' },
  HASH_KEY: {
    policy: 'stop',
    meaning: 'the key of hashed columns is missing, or differs from the key of the stored hashes',
  },
  GENERATION_CHANGED: {
    policy: 'stop',
    meaning: 'the tables or columns to capture are no longer those of the generation',
  },
  GENERATION_UNKNOWN: {
    policy: 'stop',
    meaning: 'a generation is missing from the topic of generations, or its record there belongs to another one',
  },
  WAREHOUSE_UNFINISHED: {
    policy: 'stop',
    meaning: 'a command that drops or rebuilds a database in ClickHouse is running, or was interrupted',
  },
  DROP_REFUSED: {
    policy: 'stop',
    meaning: 'one of the things to destroy cannot be destroyed, so nothing was destroyed',
  },
  PRODUCER_RUNNING: { policy: 'retry', meaning: 'another producer works on the same generation' },
  NAME_TAKEN: { policy: 'stop', meaning: 'the name of a stable view in ClickHouse is taken by another object' },
  CLICKHOUSE_UNREACHABLE: { policy: 'retry', meaning: 'ClickHouse did not answer, or the answer was lost' },
  CLICKHOUSE_BUSY: { policy: 'retry', meaning: 'ClickHouse is short of memory, time, disk, parts or quota' },
  CLICKHOUSE_DENIED: { policy: 'stop', meaning: 'ClickHouse refuses the user, or the user lacks a right' },
  CLICKHOUSE_REFUSED: { policy: 'stop', meaning: 'ClickHouse cannot store a record as it is' },
  CLICKHOUSE_UNFIT: { policy: 'stop', meaning: 'settings of this ClickHouse or its user would lose or repeat changes' },
  MODEL_CHANGED: { policy: 'stop', meaning: 'a table of the model was made by other SQL than its files contain' },
  FOLD_FAILED: { policy: 'retry', meaning: 'an aggregate of the model cannot take changes that its tables hold' },
  CLICKHOUSE_FAILED: { policy: 'stop', meaning: 'ClickHouse refused a statement that it should accept' },
  WAREHOUSE_DAMAGED: { policy: 'stop', meaning: 'ClickHouse no longer contains rows that were inserted into it' },
  PACKAGE_MISSING: { policy: 'stop', meaning: 'a command needs an optional npm package that is not installed' },
  STACK_PREREQUISITE: { policy: 'stop', meaning: 'this machine lacks something that the local stack needs' },
  STACK_DOWNLOAD: { policy: 'stop', meaning: 'the Kafka broker could not be downloaded' },
  STACK_PORT_TAKEN: { policy: 'stop', meaning: 'the port of a local component is used by another process' },
  STACK_FAILED: { policy: 'stop', meaning: 'a local component did not start or stop' },
  STACK_BUSY: { policy: 'stop', meaning: 'another command is changing the same local stack' },
  COMMIT_UNREADABLE: { policy: 'stop', meaning: 'a committed offset has metadata that this version cannot read' },
  RECORD_UNREADABLE: { policy: 'stop', meaning: 'a record in a topic was not written by millrace, or is damaged' },
  SCHEMA_MISSING: { policy: 'stop', meaning: 'a topic has no registered schema' },
  SCHEMA_CHANGED: { policy: 'stop', meaning: 'a table no longer has the columns that it had when it was captured' },
  FENCED: { policy: 'stop', meaning: 'another member owns the partitions now' },
  OFFSETS_MISSING: { policy: 'stop', meaning: 'a topic no longer contains records that are still needed' },
  HTTP_PORT: { policy: 'stop', meaning: 'the port of a service is taken or not allowed' },
  CHILD_ENDED: { policy: 'stop', meaning: 'a service that another command started ended by itself' },
  TIMED_OUT: { policy: 'stop', meaning: 'an operation did not finish within its time limit' },
  NOTHING_LOADED: { policy: 'stop', meaning: 'ClickHouse contains no generation whose initial load is complete' },
  NOT_CAUGHT_UP: { policy: 'stop', meaning: 'ClickHouse did not reach the LSN of the comparison in time' },
  SOURCE_EMPTY: { policy: 'stop', meaning: 'the source lacks the rows that generated changes refer to' },
  SOURCE_NOT_EMPTY: { policy: 'stop', meaning: 'generated data is only written into an empty source' },
  REQUEST_INVALID: { policy: 'stop', meaning: 'a request does not follow the description of the API' },
  NOT_FOUND: { policy: 'stop', meaning: 'the named object does not exist' },
  ORDER_STATUS: { policy: 'stop', meaning: 'an order cannot change from its status to the requested one' },
  KEY_REUSED: { policy: 'stop', meaning: 'an Idempotency-Key was used again for a different request' },
  SCENARIO_RUNNING: { policy: 'stop', meaning: 'a scenario was requested while another one is running' },
  IMPORT_UNREADABLE: { policy: 'stop', meaning: 'a file cannot be imported at all' },
  IMPORT_CHANGED: { policy: 'stop', meaning: 'a file was imported before, and its content has changed since' },
  IMPORT_RUNNING: { policy: 'retry', meaning: 'another import is running' },
  INTERNAL: {
    policy: 'stop',
    meaning: 'millrace reached a state that should be impossible; please report it as a bug',
  },
} as const satisfies Record<string, { policy: 'retry' | 'stop'; meaning: string }>

export type ErrorCode = keyof typeof errorCodes

export interface ErrorParts {
  /** What is wrong, as a plain sentence. */
  readonly what: string
  /** File, table, topic, partition, offset or endpoint where the error occurred. */
  readonly where?: string
  /** What to do next, as a sentence or a command. */
  readonly next: string
  readonly cause?: unknown
}

/**
 * The only error class that leaves a folder. Adapters wrap the errors of drivers and keep them as
 * `cause`.
 */
export class MillraceError extends Error {
  readonly code: ErrorCode
  readonly where: string | undefined
  readonly next: string

  constructor(code: ErrorCode, parts: ErrorParts) {
    super(parts.what, parts.cause === undefined ? undefined : { cause: parts.cause })
    this.name = 'MillraceError'
    this.code = code
    this.where = parts.where
    this.next = parts.next
  }

  get retriable(): boolean {
    const policy: string = errorCodes[this.code].policy
    return policy === 'retry'
  }

  /** Several lines for a person: code, what, where, next. */
  toText(): string {
    const where = this.where === undefined ? '' : `\n  where: ${indented(this.where, further)}`
    return `${this.code}: ${indented(this.message, further)}${where}\n  next:  ${indented(this.next, further)}`
  }
}

// postgres/protocol/pgoutput: decodes pgoutput's protocol 1 from bytes.
// It makes no object per column and does not parse values.

import { columnKinds } from '../../contract/bytes.ts'
import { MessageReader } from './message-reader.ts'
import { Tuple } from './tuple.ts'

interface RelationColumn {
  readonly name: string
  readonly typeOid: number
  readonly typeModifier: number
  /** Part of the replica identity. With FULL, every column is part of it. */
  readonly inKey: boolean
}

/** `pg_class.relreplident`: default, nothing, full, index. */
export type ReplicaIdentity = 'd' | 'n' | 'f' | 'i'

export interface Relation {
  readonly oid: number
  readonly schema: string
  readonly name: string
  readonly replicaIdentity: ReplicaIdentity
  readonly columns: readonly RelationColumn[]
}

/**
 * Receives the messages of the stream in their order. Tuples and contents are valid only during the
 * call. An LSN is a byte offset into the WAL; a time is in µs since the Unix epoch.
 */
export interface PgoutputHandler {
  begin(commitLsn: number, commitTimeUs: number, xid: number): void
  /**
   * `endLsn` is the first byte after the commit, and possibly the first byte of the next one. It is
   * the LSN to acknowledge.
   */
  commit(commitLsn: number, endLsn: number, commitTimeUs: number): void
  /**
   * Sent before the first row of a table in this stream, and after every change of the table. A
   * partitioned table that is published through its root is announced first as the root, and then
   * as the partition that contains the row, with the partition's own replica identity. Rows always
   * name the root. A partition whose identity is not FULL logs old rows without their values,
   * although the announcement of the root says FULL.
   */
  relation(relation: Relation): void
  insert(relation: Relation, after: Tuple): void
  /**
   * Without FULL, `before` is present only when the key changed, and contains NULL outside the key.
   * Unchanged TOASTed values of `after` are taken from `before` where it has them.
   */
  update(relation: Relation, before: Tuple | undefined, beforeIsKeyOnly: boolean, after: Tuple): void
  delete(relation: Relation, before: Tuple, beforeIsKeyOnly: boolean): void
  truncate(relations: readonly Relation[], cascade: boolean, restartIdentity: boolean): void
  /**
   * A message of pg_logical_emit_message. A message that is not transactional may come between
   * transactions.
   */
  message(lsn: number, transactional: boolean, prefix: string, content: Buffer): void
}

const letter = (text: string): number => text.charCodeAt(0)
const kinds = {
  insert: letter('I'),
  update: letter('U'),
  delete: letter('D'),
  begin: letter('B'),
  commit: letter('C'),
  relation: letter('R'),
  truncate: letter('T'),
  message: letter('M'),
  /** The name of a type that is not built in. The catalog has it too. */
  type: letter('Y'),
  /** The origin of a transaction that was itself replicated. */
  origin: letter('O'),
} as const
const newImage = letter('N')
const keyImage = letter('K')
const oldImage = letter('O')
const identities: Readonly<Record<number, ReplicaIdentity>> = {
  [letter('d')]: 'd',
  [letter('n')]: 'n',
  [letter('f')]: 'f',
  [letter('i')]: 'i',
}

/**
 * Decodes messages of `proto_version '1'` of one connection, without streaming and without binary
 * values.
 * @see https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */
export class PgoutputDecoder {
  /** Everything committed before this LSN was delivered to the handler. */
  completeTo = 0
  private readonly handler: PgoutputHandler
  private readonly reader = new MessageReader()
  private readonly relations = new Map<number, Relation>()
  private readonly before = new Tuple()
  private readonly after = new Tuple()
  private inTransaction = false

  constructor(handler: PgoutputHandler) {
    this.handler = handler
  }

  /**
   * Delivers one message to the handler. The handler's errors pass through.
   * @throws {MillraceError} STREAM_CORRUPT on anything unknown, truncated, trailing or out of order
   */
  decode(message: Buffer): void {
    const { reader } = this
    reader.open(message)
    const kind = reader.uint8()
    if (kind === kinds.insert) this.insert()
    else if (kind === kinds.update) this.update()
    else if (kind === kinds.delete) this.delete()
    else if (kind === kinds.begin) this.begin()
    else if (kind === kinds.commit) this.commit()
    else if (kind === kinds.relation) this.relation()
    else if (kind === kinds.truncate) this.truncate()
    else if (kind === kinds.message) this.message()
    else if (kind === kinds.type) this.passOver(() => reader.uint32(), 2)
    else if (kind === kinds.origin) this.passOver(() => reader.lsn(), 1)
    else reader.fail('an unknown kind')
  }

  private begin(): void {
    const { reader } = this
    const commitLsn = reader.lsn()
    const timeUs = reader.timeUs()
    const xid = reader.uint32()
    reader.finish()
    if (this.inTransaction) reader.fail('begun a transaction inside another')
    this.inTransaction = true
    this.handler.begin(commitLsn, timeUs, xid)
  }

  private commit(): void {
    const { reader } = this
    if (reader.uint8() !== 0) reader.fail('unknown flags')
    const commitLsn = reader.lsn()
    const endLsn = reader.lsn()
    const timeUs = reader.timeUs()
    reader.finish()
    this.needTransaction()
    this.inTransaction = false
    this.completeTo = endLsn
    this.handler.commit(commitLsn, endLsn, timeUs)
  }

  private insert(): void {
    const { reader, after } = this
    const relation = this.knownRelation()
    if (reader.uint8() !== newImage) reader.fail('no new row')
    this.tuple(relation, after)
    reader.finish()
    this.handler.insert(relation, after)
  }

  private update(): void {
    const { reader, before, after } = this
    const relation = this.knownRelation()
    const image = reader.uint8()
    const hasBefore = image === oldImage || image === keyImage
    if (hasBefore) this.tuple(relation, before)
    if ((hasBefore ? reader.uint8() : image) !== newImage) reader.fail('no new row')
    const unchanged = this.tuple(relation, after)
    reader.finish()
    if (unchanged > 0 && image === oldImage) takeUnchanged(before, after)
    this.handler.update(relation, hasBefore ? before : undefined, image === keyImage, after)
  }

  private delete(): void {
    const { reader, before } = this
    const relation = this.knownRelation()
    const image = reader.uint8()
    if (image !== oldImage && image !== keyImage) reader.fail('no old row')
    this.tuple(relation, before)
    reader.finish()
    this.handler.delete(relation, before, image === keyImage)
  }

  private truncate(): void {
    const { reader } = this
    const count = reader.uint32()
    const options = reader.uint8()
    if (options > 3) reader.fail('unknown options')
    reader.need(count * 4)
    const relations: Relation[] = []
    for (let index = 0; index < count; index++) relations.push(this.knownRelation())
    reader.finish()
    this.handler.truncate(relations, (options & 1) !== 0, (options & 2) !== 0)
  }

  private message(): void {
    const { reader } = this
    const flags = reader.uint8()
    if (flags > 1) reader.fail('unknown flags')
    const lsn = reader.lsn()
    const prefix = reader.string()
    const length = reader.int32()
    const start = reader.skip(length)
    reader.finish()
    if (flags === 1) this.needTransaction()
    else this.completeTo = lsn
    this.handler.message(lsn, flags === 1, prefix, reader.buffer.subarray(start, start + length))
  }

  private relation(): void {
    const { reader } = this
    const oid = reader.uint32()
    // The schema pg_catalog is sent as an empty name.
    const schema = reader.string() || 'pg_catalog'
    const name = reader.string()
    const replicaIdentity = identities[reader.uint8()] ?? reader.fail('an unknown replica identity')
    const columns: RelationColumn[] = []
    for (let left = reader.uint16(); left > 0; left--) {
      const inKey = (reader.uint8() & 1) !== 0
      columns.push({ inKey, name: reader.string(), typeOid: reader.uint32(), typeModifier: reader.int32() })
    }
    reader.finish()
    const relation = { oid, schema, name, replicaIdentity, columns }
    this.relations.set(oid, relation)
    this.handler.relation(relation)
  }

  private knownRelation(): Relation {
    const relation = this.relations.get(this.reader.uint32()) ?? this.reader.fail('a table that was not announced')
    this.needTransaction()
    return relation
  }

  /** Skips a message without using it: a number, then names. */
  private passOver(number: () => void, names: number): void {
    number()
    for (let left = names; left > 0; left--) this.reader.string()
    this.reader.finish()
  }

  private needTransaction(): void {
    if (!this.inTransaction) this.reader.fail('come outside a transaction')
  }

  /** Reads the columns of a row. @returns how many of them were not sent */
  private tuple(relation: Relation, tuple: Tuple): number {
    const { reader } = this
    const count = reader.uint16()
    if (count !== relation.columns.length) {
      reader.fail(`${count} columns for ${relation.schema}.${relation.name}, announced with ${relation.columns.length}`)
    }
    tuple.reserve(count)
    tuple.buffer = reader.buffer
    tuple.count = count
    const { kinds, starts, ends } = tuple
    let unchanged = 0
    for (let column = 0; column < count; column++) {
      const kind = reader.uint8()
      kinds[column] = kind
      if (kind === columnKinds.text) {
        starts[column] = reader.skip(reader.int32())
        ends[column] = reader.at
      } else {
        starts[column] = reader.at
        ends[column] = reader.at
        if (kind === columnKinds.unchanged) unchanged++
        else if (kind !== columnKinds.null) reader.fail('a column of an unknown kind')
      }
    }
    return unchanged
  }
}

/**
 * A value that was not sent is not NULL. Where `before` does not have it either, `before` is no
 * whole old row, and the value stays `unchanged`.
 */
function takeUnchanged(before: Tuple, after: Tuple): void {
  for (let column = 0; column < after.count; column++) {
    if (after.kinds[column] !== columnKinds.unchanged || before.kinds[column] !== columnKinds.text) continue
    after.kinds[column] = columnKinds.text
    after.starts[column] = before.starts[column]!
    after.ends[column] = before.ends[column]!
  }
}

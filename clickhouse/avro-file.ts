// clickhouse/avro-file: an Avro object container file of Kafka records, which are copied without
// parsing.
// The outer record is {partition, offset, record}; `record` has the bytes of the producer's value.

import { randomBytes } from 'node:crypto'
import { copyBytes, lengthAndText, longestVarint, varintBytes, withRoom, writeVarint } from '../contract/bytes.ts'

const firstBytes = 16 * 1024
const keptBytes = 256 * 1024

/**
 * Builds the body of an `INSERT … FORMAT Avro`: header, one data block, sync marker. All records
 * must have the given schema. The buffer grows as needed. The next file reuses it after `reset`.
 * @see https://avro.apache.org/docs/1.12.0/specification/#object-container-files
 */
export class AvroContainer {
  readonly #header: Buffer
  readonly #sync: Buffer
  #body: Buffer
  #length = 0
  #count = 0

  /** @param valueSchema JSON text of the producer's value schema */
  constructor(valueSchema: string) {
    this.#sync = randomBytes(16)
    const schema = `{"type":"record","name":"Stored","namespace":"millrace","fields":[{"name":"partition","type":"int"},{"name":"offset","type":"long"},{"name":"record","type":${valueSchema}}]}`
    const magic = Buffer.from('Obj\x01', 'latin1')
    this.#header = Buffer.concat([
      magic,
      long(2),
      lengthAndText('avro.schema'),
      lengthAndText(schema),
      lengthAndText('avro.codec'),
      lengthAndText('null'),
      long(0),
      this.#sync,
    ])
    this.#body = Buffer.allocUnsafe(firstBytes)
  }

  get count(): number {
    return this.#count
  }

  append(partition: number, offset: number, source: Buffer, start: number, end: number): void {
    const body = withRoom(this.#body, this.#length, 2 * longestVarint + end - start)
    this.#body = body
    const at = writeVarint(body, offset, writeVarint(body, partition, this.#length))
    this.#length = copyBytes(source, start, end, body, at)
    this.#count++
  }

  /** The file's chunks, in order. They share this object's buffer, and are valid until `reset`. */
  chunks(): Buffer[] {
    return [this.#header, long(this.#count), long(this.#length), this.#body.subarray(0, this.#length), this.#sync]
  }

  /** Releases a large buffer, because there may be a thousand tables. */
  reset(): void {
    this.#length = 0
    this.#count = 0
    if (this.#body.length > keptBytes) this.#body = Buffer.allocUnsafe(firstBytes)
  }
}

function long(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(varintBytes(value))
  writeVarint(bytes, value, 0)
  return bytes
}

// clickhouse/avro-file: Kafka records wrapped, unparsed, into one Avro object container.
// The outer record is {partition, offset, record}, where record is the producer's value byte for byte.

import { randomBytes } from 'node:crypto'

const firstBytes = 16 * 1024
const keptBytes = 256 * 1024

/**
 * Builds the body of an `INSERT … FORMAT Avro`: header, one data block, sync marker. Records must all have been written
 * with the schema given. The buffer grows as needed and is reused by the next batch after `reset`.
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
      text('avro.schema'),
      text(schema),
      text('avro.codec'),
      text('null'),
      long(0),
      this.#sync,
    ])
    this.#body = Buffer.allocUnsafe(firstBytes)
  }

  get count(): number {
    return this.#count
  }

  append(partition: number, offset: number, source: Buffer, start: number, end: number): void {
    this.#reserve(20 + end - start)
    this.#length = writeLong(this.#body, this.#length, partition)
    this.#length = writeLong(this.#body, this.#length, offset)
    this.#length += source.copy(this.#body, this.#length, start, end)
    this.#count++
  }

  /** The container's chunks, in order; they alias this object's buffer and stay valid until `reset`. */
  chunks(): Buffer[] {
    return [this.#header, long(this.#count), long(this.#length), this.#body.subarray(0, this.#length), this.#sync]
  }

  /** A buffer that a load made large is given up: there may be a thousand tables. */
  reset(): void {
    this.#length = 0
    this.#count = 0
    if (this.#body.length > keptBytes) this.#body = Buffer.allocUnsafe(firstBytes)
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes
    if (needed <= this.#body.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#body.length * 2))
    this.#body.copy(larger, 0, 0, this.#length)
    this.#body = larger
  }
}

/** Zig-zag varint of a non-negative safe integer. @see https://avro.apache.org/docs/1.12.0/specification/#binary-encoding */
function writeLong(target: Buffer, at: number, value: number): number {
  let rest = value * 2
  while (rest >= 0x80) {
    target[at++] = (rest % 0x80) | 0x80
    rest = Math.floor(rest / 0x80)
  }
  target[at++] = rest
  return at
}

function long(value: number): Buffer {
  const bytes = Buffer.alloc(10)
  return bytes.subarray(0, writeLong(bytes, 0, value))
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([long(bytes.length), bytes])
}

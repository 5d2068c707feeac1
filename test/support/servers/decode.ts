// test/support/servers/decode: records read back by avsc, with every value in the text form that
// Postgres prints.
// It shares no code with the encoder.

import avsc from 'avsc'
import { avroName } from '../../../contract/names.ts'
import { keySchema, valueSchema } from '../../../contract/schema.ts'
import type { Column, Table } from '../../../contract/table.ts'

export type TextValues = Record<string, string | null>

export interface DecodedRecord {
  readonly lsn: number
  readonly ordinal: number
  readonly txId: number
  readonly commitTimeUs: number
  readonly snapshot: boolean
  readonly schema: string
  readonly table: string
  readonly op: string
  readonly before: TextValues | null
  readonly after: TextValues | null
}

type Fields = Record<string, unknown>

/** Longs as BigInt, since avsc itself reads them as numbers only. */
const longType = avsc.types.LongType.__with({
  fromBuffer: (buffer: Buffer) => buffer.readBigInt64LE(),
  toBuffer: () => Buffer.alloc(8),
  fromJSON: BigInt,
  toJSON: Number,
  isValid: (value: unknown) => typeof value === 'bigint',
  compare: (a: bigint, b: bigint) => (a < b ? -1 : Number(a > b)),
})

export interface Decoder {
  key(bytes: Buffer): TextValues
  value(bytes: Buffer): DecodedRecord
  /**
   * Everything of an Avro value except its rows, since Postgres may have no text for their values.
   */
  head(bytes: Buffer): Omit<DecodedRecord, 'before' | 'after'>
}

/** Reads a value that the encoder of this table wrote. A byte too many or too few throws. */
export function createDecoder(table: Table): Decoder {
  const keyType = parseSchema(keySchema(table))
  const valueType = parseSchema(valueSchema(table))
  const keyColumns = table.key.map(name => table.columns.find(column => column.name === name)!)
  const parse = (bytes: Buffer) => valueType.fromBuffer(bytes.subarray(5)) as Record<string, Fields>
  return {
    key: bytes => showRow(keyColumns, keyType.fromBuffer(bytes.subarray(5)) as Fields),
    head: bytes => headOf(parse(bytes)),
    value: bytes => {
      const fields = parse(bytes)
      const show = (row: Fields | null | undefined) => (row ? showRow(table.columns, row) : null)
      return { ...headOf(fields), before: show(fields.before), after: show(fields.after) }
    },
  }
}

function headOf({ source, op }: Record<string, Fields>) {
  return {
    lsn: Number(source!.lsn),
    ordinal: Number(source!.ordinal),
    txId: Number(source!.txId),
    commitTimeUs: Number(source!.ts_us),
    snapshot: source!.snapshot as boolean,
    schema: source!.schema as string,
    table: source!.table as string,
    op: op as unknown as string,
  }
}

function parseSchema(schema: unknown): avsc.Type {
  return avsc.Type.forSchema(schema as avsc.Schema, {
    wrapUnions: false,
    typeHook: schema => (isLong(schema) ? (longType as unknown as avsc.Type) : undefined),
  })
}

function isLong(schema: unknown): boolean {
  return (
    schema === 'long' || (typeof schema === 'object' && schema !== null && 'type' in schema && schema.type === 'long')
  )
}

function showRow(columns: readonly Column[], row: Fields): TextValues {
  const values = Object.create(null) as TextValues
  for (const column of columns) {
    const value = row[avroName(column.name)]
    values[column.name] = value === null || value === undefined ? null : showValue(column, value)
  }
  return values
}

function showValue(column: Column, value: unknown): string {
  switch (column.encoding) {
    case 'boolean':
      return value ? 't' : 'f'
    case 'float':
    case 'double':
      return showNumber(value as number)
    case 'decimal':
      return showDecimal(value as Buffer, column.scale!)
    case 'date':
      return new Date((value as number) * 86_400_000).toISOString().slice(0, 10)
    case 'timestamp':
      return showTimestamp(value as bigint)
    case 'timestamptz':
      return `${showTimestamp(value as bigint)}+00`
    case 'bytes':
      return `\\x${(value as Buffer).toString('hex')}`
    default:
      return String(value)
  }
}

/**
 * A text that is equal for equal floats and different for others: JavaScript's, with the sign of
 * zero.
 */
export function showNumber(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value)
}

function showDecimal(bytes: Buffer, scale: number): string {
  const unscaled = BigInt.asIntN(bytes.length * 8, BigInt(`0x${bytes.toString('hex')}`))
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0')
  const whole = digits.slice(0, digits.length - scale)
  return `${unscaled < 0n ? '-' : ''}${whole}${scale > 0 ? `.${digits.slice(-scale)}` : ''}`
}

function showTimestamp(micros: bigint): string {
  const fraction = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n
  const iso = new Date(Number((micros - fraction) / 1000n)).toISOString()
  const decimals = fraction === 0n ? '' : `.${String(fraction).padStart(6, '0').replace(/0+$/, '')}`
  return `${iso.slice(0, 10)} ${iso.slice(11, 19)}${decimals}`
}

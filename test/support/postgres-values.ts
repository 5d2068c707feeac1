// test/support/postgres-values: values of every kind of Postgres type that are hard to carry, and what they are in ClickHouse.

export interface TypeCase {
  /** As in CREATE TABLE. */
  readonly type: string
  /** SQL expressions, cast to the type by the caller. */
  readonly values: readonly string[]
  /** Spelling in Postgres of the column `$`; by default what the type's output function prints. */
  readonly postgres?: string
  /** Spelling in ClickHouse of the column `$`. */
  readonly clickhouse?: string
  /** Whether it can be a primary key. */
  readonly key?: boolean
}

/** Types of the test's own that the cases below use. */
export const valueTypes = `
CREATE TYPE "mood's" AS ENUM ('a''b', 'x"y', 'back\\slash', 'ü', '', '; DROP TABLE x', 'last');
CREATE TYPE pair AS (a int, "b c" text);
CREATE DOMAIN cents AS numeric(12,2) CHECK (VALUE >= -1000);
CREATE DOMAIN deeper AS cents;
CREATE DOMAIN address AS inet;
CREATE DOMAIN moment AS timestamptz;
CREATE DOMAIN "moment of a row" AS moment CHECK (VALUE > '1000-01-01');
CREATE DOMAIN millisecond AS timestamptz(3);
CREATE TYPE span AS RANGE (subtype = float8);
CREATE EXTENSION hstore;
CREATE EXTENSION citext;
`

const floatBits = (function_: string) => `CASE WHEN $ = 'NaN' THEN 'nan' ELSE encode(${function_}($), 'hex') END`
const clickhouseBits = (type: string, digits: number) =>
  `if(isNaN($), 'nan', leftPad(lower(hex(reinterpretAs${type}($))), ${digits}, '0'))`
const decimal = (type: string, scale: number, values: readonly string[]): TypeCase => ({
  type,
  values,
  clickhouse: `toDecimalString($, ${scale})`,
  key: true,
})
const quoted = (...values: string[]) => values.map(value => `'${value.replaceAll("'", "''")}'`)
const nines = (count: number) => '9'.repeat(count)

const numbers: TypeCase[] = [
  { type: 'boolean', values: ['true', 'false'], postgres: '$::text', key: true },
  { type: 'smallint', values: ["'-32768'", '32767', '0', "'-1'"], key: true },
  { type: 'integer', values: ["'-2147483648'", '2147483647', '0'], key: true },
  {
    type: 'bigint',
    values: quoted(
      '-9223372036854775808',
      '9223372036854775807',
      '-9007199254740993',
      '9007199254740993',
      '1000000000000000',
      '-999999999999999',
      '-4294967296',
      '0',
    ),
    key: true,
  },
  { type: 'oid', values: ['0', "'4294967295'"], key: true },
  {
    type: 'real',
    values: quoted(
      ...['NaN', 'Infinity', '-Infinity', '-0', '0', '1e-45', '-1.1754942e-38', '3.4028235e38', '7.038531e-26'],
      ...['16777217', '0.1'],
    ),
    postgres: floatBits('float4send'),
    clickhouse: clickhouseBits('UInt32', 8),
  },
  {
    type: 'double precision',
    values: quoted(
      ...['NaN', 'Infinity', '-Infinity', '-0', '0', '5e-324', '2.2250738585072009e-308'],
      ...[
        '1.7976931348623157e308',
        '0.1',
        '9007199254740993',
        '1e22',
        '1e23',
        '123456789012345.6',
        '0.30000000000000004',
      ],
    ),
    postgres: floatBits('float8send'),
    clickhouse: clickhouseBits('UInt64', 16),
    key: true,
  },
  {
    type: 'numeric',
    values: [
      ...quoted('NaN', 'Infinity', '-Infinity', '-0.000', '1.10', `1${nines(60)}.5`),
      "'1e131071'",
      "'1e-16383'",
      `'-${nines(45)}.${nines(45)}'`,
    ],
    key: true,
  },
  { type: 'numeric(77,0)', values: quoted(nines(77), `-${nines(77)}`) },
  decimal('numeric(10,2)', 2, quoted('-99999999.99', '99999999.99', '0.01', '-0.01', '0', '-0.00', '100')),
  decimal('numeric(16,0)', 0, quoted('9007199254740993', '-9007199254740993', '-9999999999999999', '999999999999999')),
  decimal('numeric(18,18)', 18, quoted(`0.${nines(18)}`, `-0.${nines(18)}`, '0.000000000000000001')),
  decimal(
    'numeric(38,10)',
    10,
    quoted(`${nines(28)}.${nines(10)}`, `-${nines(28)}.${nines(10)}`, '-0.0000000001', '1'),
  ),
  decimal('numeric(76,38)', 38, quoted(`${nines(38)}.${nines(38)}`, `-${nines(38)}.${nines(38)}`, '1e-38', '-1e-38')),
  decimal('numeric(76,0)', 0, quoted(nines(76), `-${nines(76)}`, '0')),
  decimal('numeric(3,-2)', 0, quoted('99900', '-99900', '149', '151')),
  decimal('numeric(2,4)', 4, quoted('0.0099', '-0.0099', '0.0001')),
  decimal('deeper', 2, quoted('-1000', '9999999999.99', '0.10')),
  { type: 'money', values: quoted('-92233720368547758.08', '92233720368547758.07', '0') },
]

const micros = "to_char($, 'YYYY-MM-DD HH24:MI:SS.US')"

const times: TypeCase[] = [
  {
    type: 'date',
    values: quoted(
      ...[
        '1900-01-01',
        '2299-12-31',
        '1970-01-01',
        '1969-12-31',
        '2024-02-29',
        '1900-02-28',
        '1900-03-01',
        '2000-02-29',
      ],
      ...['2100-02-28', '2100-03-01', '2149-06-07'],
    ),
    key: true,
  },
  {
    type: 'timestamp',
    values: quoted(
      ...[
        '1900-01-01 00:00:00',
        '2299-12-31 23:59:59.999999',
        '1969-12-31 23:59:59.999999',
        '1970-01-01 00:00:00.000001',
      ],
      ...[
        '2024-02-29 12:00:00.1',
        '2262-04-11 23:47:16.854776',
        '2255-06-05 23:47:34.740993',
        '1900-01-01 00:00:00.000001',
      ],
    ),
    postgres: micros,
    key: true,
  },
  {
    type: 'timestamptz',
    values: quoted(
      ...['2024-03-31 02:30:00 Europe/Berlin', '2024-10-27 02:30:00+01', '2024-10-27 02:30:00+02'],
      ...[
        '1899-12-31 23:00:00-01',
        '2299-12-31 23:59:59.999999+00',
        '2300-01-01 00:30:00+01',
        '1969-12-31 23:59:59.5+00',
      ],
      '1911-03-10 23:50:39.123456 Europe/Paris',
    ),
    postgres: micros.replace('$', "$ AT TIME ZONE 'UTC'"),
    key: true,
  },
  ...['moment', '"moment of a row"', 'millisecond'].map(type => ({
    type,
    values: quoted('2026-03-29 01:30:00+00', '1969-12-31 23:59:59.5+00', '2024-10-27 02:30:00+01'),
    postgres: micros.replace('$', "$ AT TIME ZONE 'UTC'"),
    key: true,
  })),
  { type: 'time', values: quoted('24:00:00', '00:00:00', '23:59:59.999999', '12:00:00.1'), key: true },
  { type: 'time(0)', values: quoted('23:59:59.9', '01:02:03') },
  { type: 'timetz', values: quoted('24:00:00-15:59', '12:00:00.000001+15:59', '00:00:00+00') },
  {
    type: 'interval',
    values: quoted(
      ...['-1 year 2 days -03:04:05.678901', '1 mon -1 day', '0', '178000000 years', 'infinity', '-infinity'],
      ...['-00:00:00.000001', '36:00:00'],
    ),
    key: true,
  },
  { type: 'interval year to month', values: quoted('-5 mons', '13 mons') },
]

const hardText = [
  `''`,
  `' '`,
  `'NULL'`,
  String.raw`'\N'`,
  String.raw`E'tab\tline\nreturn\rend\b\f\v'`,
  String.raw`U&'\FFFD \FEFF \2028 \+10FFFF'`,
  String.raw`E'\x01\x1f\x7f'`,
  `'💥 👩‍👩‍👧 שלום مرحبا é ạ̈'`,
  String.raw`'\ "x" ''y'' {a,b} <c>&amp; ; -- /* */ $1 {p:Int}'`,
  `'trailing   '`,
  `repeat('long ü ', 30000)`,
]

const texts: TypeCase[] = [
  { type: 'text', values: hardText, key: true },
  { type: 'varchar(20)', values: quoted('', '20 characters, ü 💥.', '  '), key: true },
  { type: 'char(5)', values: quoted('ab', '', '💥', 'abcde'), key: true },
  { type: '"char"', values: [`'a'`, `''`, String.raw`'\377'`] },
  { type: 'name', values: quoted('x', 'n'.repeat(63), ''), key: true },
  {
    type: 'uuid',
    values: quoted('00000000-0000-0000-0000-000000000000', 'FFFFFFFF-ffff-ffff-ffff-ffffffffffff'),
    key: true,
  },
  {
    type: 'bytea',
    values: [
      String.raw`'\x'`,
      `(SELECT decode(string_agg(lpad(to_hex(b), 2, '0'), '' ORDER BY b), 'hex') FROM generate_series(0, 255) AS b)`,
      String.raw`'\x00'`,
      `decode(repeat('00ff', 50000), 'hex')`,
    ],
    postgres: `encode($, 'hex')`,
    clickhouse: 'lower(hex($))',
    key: true,
  },
  {
    type: 'json',
    values: [
      ...quoted('12345678901234567890', '{"a":1,"a":2, "b" : 1.10 }', 'null', ' [ ] ', '""', '{"💥":"\\u0041"}'),
      String.raw`'"\ud800"'`,
      `(repeat('[', 10000) || repeat(']', 10000))::json`,
    ],
  },
  {
    type: 'jsonb',
    values: quoted('null', '"null"', '{"b":1,"a":12345678901234567890.10}', '{}', '[]', '{"a":{"":[null,""]}}'),
    key: true,
  },
  { type: 'xml', values: quoted('<a b="c">&amp;ü</a>', '<!-- x --><a/>') },
  { type: `"mood's"`, values: quoted("a'b", 'x"y', 'back\\slash', 'ü', '', '; DROP TABLE x'), key: true },
]

const others: TypeCase[] = [
  { type: 'int[]', values: quoted('{}', '{1,NULL,3}', '{{1,2},{3,4}}', '[2:3]={5,6}'), key: true },
  { type: 'text[]', values: [String.raw`ARRAY['{', '}', '"', '\', 'a,b', '', 'NULL', NULL, ' x ', 'ü']`, `'{}'`] },
  { type: 'timestamptz[]', values: quoted('{infinity,"2024-03-31 02:30:00 Europe/Berlin",-infinity,"4713-01-01 BC"}') },
  { type: 'date[]', values: quoted('{infinity,0001-01-01,NULL}') },
  { type: 'float8[]', values: quoted('{NaN,-0,5e-324,0.1}') },
  { type: 'bytea[]', values: [String.raw`ARRAY['\x00ff', NULL, '\x']::bytea[]`] },
  { type: 'char(3)[]', values: quoted('{a,bc}') },
  { type: `"mood's"[]`, values: [String.raw`ARRAY['a''b', 'x"y', 'back\slash', '', NULL]::"mood's"[]`] },
  { type: 'pair', values: [`ROW(1, 'x,"y"')`, 'ROW(NULL, NULL)', `ROW(NULL, '')`] },
  { type: 'pair[]', values: [`ARRAY[ROW(1, 'a b')::pair, NULL]`] },
  { type: 'int4range', values: quoted('[1,5)', 'empty', '(,)', '[3,3]'), key: true },
  { type: 'span', values: quoted('[0.1,Infinity]', '(-0,5e-324)') },
  { type: 'tstzrange', values: quoted('["2024-03-31 02:30:00 Europe/Berlin",infinity)') },
  { type: 'nummultirange', values: quoted('{}', '{[1.10,2),(3,]}') },
  { type: 'inet', values: quoted('192.168.0.1', '192.168.0.1/24', '::1', '::ffff:1.2.3.4/96'), key: true },
  { type: 'address', values: quoted('10.0.0.1', '10.0.0.0/8') },
  { type: 'cidr', values: quoted('192.168.0.0/24', '10.0.0.1/32', '::/0'), key: true },
  { type: 'macaddr', values: quoted('08-00-2b-01-02-03'), key: true },
  { type: 'macaddr8', values: quoted('08:00:2b:01:02:03:04:05') },
  { type: 'bit(8)', values: [`B'00000001'`, `B'11111111'`] },
  { type: 'bit varying', values: [`B''`, `B'101'`], key: true },
  { type: 'point', values: quoted('(0.1,-0)', '(1e300,NaN)') },
  { type: 'line', values: quoted('{1,2,3}') },
  { type: 'lseg', values: quoted('[(0,0),(1,1)]') },
  { type: 'box', values: quoted('(1,1),(0,0)') },
  { type: 'path', values: quoted('[(0,0),(1,1)]', '((0,0),(1,1))') },
  { type: 'polygon', values: quoted('((0,0),(1,1),(1,0))') },
  { type: 'circle', values: quoted('<(0,0),1.5>') },
  { type: 'tsvector', values: quoted(`'it''s' a:1A b:2`, ''), key: true },
  { type: 'tsquery', values: quoted('a & !b') },
  { type: 'jsonpath', values: quoted('$.a[*] ? (@ > 1)') },
  { type: 'regclass', values: quoted('pg_catalog.pg_class', '-') },
  { type: 'regtype', values: quoted('integer', 'timestamp with time zone') },
  { type: 'pg_lsn', values: quoted('0/0', 'FFFFFFFF/FFFFFFFF'), key: true },
  { type: 'xid8', values: quoted('18446744073709551615') },
  { type: 'xid', values: quoted('4294967295') },
  { type: 'tid', values: quoted('(4294967295,65535)') },
  { type: 'int2vector', values: quoted('1 2 3') },
  { type: 'hstore', values: quoted('"a b"=>"x,y", c=>NULL', '') },
  { type: 'citext', values: quoted('Ab', 'ÜB'), key: true },
  { type: 'pg_snapshot', values: quoted('10:20:10,14,15') },
]

export const typeCases: readonly TypeCase[] = [...numbers, ...times, ...texts, ...others]

// test/support/pipelines/sales-shop: a shop on a real Postgres. Triggers log its row changes, and
// this file inserts them into ClickHouse.
// The log has the same images that the pipeline would carry.

import { randomUUID } from 'node:crypto'
import type { Clickhouse } from '../../../clickhouse/client.ts'
import { changelogName, tableStatements } from '../../../clickhouse/ddl.ts'
import { prepareHistory } from '../../../clickhouse/history.ts'
import { insertSettings } from '../../../clickhouse/insert.ts'
import { quoteName } from '../../../clickhouse/quote.ts'
import { type Table, tableName } from '../../../contract/table.ts'
import type { Random } from '../../../generator/shop/random.ts'
import { type Aggregate, readAggregates } from '../../../modeling/aggregate.ts'
import { build } from '../../../modeling/build.ts'
import { fold } from '../../../modeling/fold.ts'
import { applyModel, type Model } from '../../../modeling/model.ts'
import type { Position } from '../../../modeling/position.ts'
import { chooseTables } from '../../../producer/capture/table-choice.ts'
import { captureTables } from '../../../producer/capture/tables.ts'
import { loadConfig, tableOptions } from '../../../runtime/config/config.ts'
import { createHashKey } from '../../../runtime/config/hash-key.ts'
import { packagePath } from '../../../runtime/files.ts'
import type { TestDatabase } from '../servers/postgres.ts'

/** Each change as up to two rows of a changelog. An update of the key is a delete and a create. */
const captureSql = `
CREATE TABLE public.noted (
  seq bigint GENERATED ALWAYS AS IDENTITY, "table" text, op text, before jsonb, after jsonb, at timestamptz DEFAULT now()
);
CREATE FUNCTION public.carried("table" text, r jsonb) RETURNS jsonb LANGUAGE sql AS $$
  SELECT CASE "table" WHEN 'customers' THEN r - 'phone' - 'birth_date' || jsonb_build_object('email', md5(r ->> 'email'),
      'full_name', regexp_replace(r ->> 'full_name', '([^\\t\\n\\v\\f\\r ])[^\\t\\n\\v\\f\\r ]*', '\\1***', 'g'))
    WHEN 'employees' THEN r - 'email' ELSE r END
$$;
CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO public.noted ("table", op, before, after) VALUES (
    TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME, CASE TG_OP WHEN 'INSERT' THEN 'c' WHEN 'UPDATE' THEN 'u' ELSE 'd' END,
    CASE WHEN TG_OP <> 'INSERT' THEN public.carried(TG_TABLE_NAME, to_jsonb(OLD)) END, CASE WHEN TG_OP <> 'DELETE' THEN public.carried(TG_TABLE_NAME, to_jsonb(NEW)) END);
  RETURN NULL;
END $$;
CREATE FUNCTION public.note_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO public.noted ("table", op, before) SELECT %L, ''t'', public.carried(%L, to_jsonb(r)) FROM %I.%I r',
    TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME, TG_TABLE_NAME, TG_TABLE_SCHEMA, TG_TABLE_NAME);
  RETURN NULL;
END $$;
DO $$
DECLARE name text;
BEGIN
  FOR name IN SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'shop'::regnamespace AND relkind = 'r' LOOP
    EXECUTE format('CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION public.note()', name);
    EXECUTE format('CREATE TRIGGER note_truncate BEFORE TRUNCATE ON %s EXECUTE FUNCTION public.note_truncate()', name);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER note', name);
  END LOOP;
END $$;`

const signal = new AbortController().signal
const config = loadConfig({ file: packagePath('model/sales/millrace.yaml'), env: {}, cwd: process.cwd() })

interface Noted {
  readonly seq: string
  readonly table: string
  readonly op: 'c' | 'u' | 'd' | 't'
  readonly before: string | null
  readonly after: string | null
  readonly rekeyed: boolean
  /** Time of the transaction, in UTC. */
  readonly at: string
}

/** The tables of model/sales/millrace.yaml, as the producer would capture them. */
export async function salesTables(database: TestDatabase): Promise<Table[]> {
  const hashKey = createHashKey('k1', randomUUID())
  const { tables: sources } = await chooseTables(database.client, config)
  return captureTables(sources, { config, serverVersion: 180_000, deferrable: new Set(), hashKey }).map(
    ({ table }) => table,
  )
}

/** Logs every row change of the shop from now on. */
export async function logChanges(database: TestDatabase): Promise<void> {
  await database.sql(captureSql)
}

/** Inserts the logged changes into the changelogs, in batches that the pipeline might form. */
export class ChangeLoader {
  readonly #database: TestDatabase
  readonly #clickhouse: Clickhouse
  readonly #tables: readonly Table[]
  readonly #pending = new Map<string, Noted[]>()
  /** By table, the first offset of its only partition that is not inserted. */
  readonly #inserted = new Map<string, number>()
  #aggregates: readonly Aggregate[] = []
  #seen = '0'

  constructor(database: TestDatabase, clickhouse: Clickhouse, tables: readonly Table[]) {
    this.#database = database
    this.#clickhouse = clickhouse
    this.#tables = tables
    for (const table of tables) this.#pending.set(tableName(table), [])
  }

  async createTables(): Promise<void> {
    for (const table of this.#tables) {
      for (const statement of tableStatements(table)) await this.#clickhouse.command(statement)
      const wanted = tableOptions(config, table.schema, table.name)!.history
      await prepareHistory(this.#clickhouse, table, { wanted, exists: false })
    }
  }

  /** Creates the objects of the model, and builds its aggregates from what is inserted. */
  async createModel(model: Model): Promise<readonly Aggregate[]> {
    await applyModel(this.#clickhouse, model)
    this.#aggregates = await readAggregates(this.#clickhouse, model, this.#tables)
    for (const aggregate of this.#aggregates) await build(this.#clickhouse, aggregate, { cut: this.#cut(), signal })
    return this.#aggregates
  }

  /** Inserts all logged changes in one batch, or those of one table, and folds them. */
  async drain(only?: string): Promise<void> {
    await this.#read()
    for (const table of this.#tables.filter(each => only === undefined || tableName(each) === only))
      await this.#insert(table, this.#pending.get(tableName(table))!.splice(0))
    await this.fold()
  }

  /** Folds everything that is inserted. */
  async fold(): Promise<void> {
    for (const aggregate of this.#aggregates) await fold(this.#clickhouse, aggregate, { cut: this.#cut(), signal })
  }

  #cut(): Position {
    const offsets = this.#tables.map(table => [tableName(table), [this.#inserted.get(tableName(table)) ?? 0]] as const)
    return { lsn: Number(this.#seen) + 1, commitTimeUs: 1, offsets: new Map(offsets) }
  }

  /** Inserts a batch in which each table is at a different point. */
  async some(random: Random): Promise<void> {
    await this.#read()
    const tables = random.chance(0.5) ? this.#tables : this.#tables.toReversed()
    for (const table of tables) {
      const pending = this.#pending.get(tableName(table))!
      const batch = pending.splice(0, random.integer(0, pending.length))
      await this.#insert(table, batch)
    }
  }

  async #read(): Promise<void> {
    const rows = await this.#database.sql<Noted>(
      `SELECT seq, "table", op, before::text, after::text, (at AT TIME ZONE 'UTC')::text AS at,
  op = 'u' AND coalesce(before -> 'order_id' <> after -> 'order_id', false) AS rekeyed
FROM public.noted WHERE seq > $1 ORDER BY seq`,
      [this.#seen],
    )
    for (const row of rows) this.#pending.get(row.table)!.push(row)
    this.#seen = rows.at(-1)?.seq ?? this.#seen
  }

  async #insert(table: Table, batch: readonly Noted[]): Promise<void> {
    if (batch.length === 0) return
    await this.#clickhouse.insert(
      `INSERT INTO ${quoteName(changelogName(table))} FORMAT JSONEachRow`,
      [Buffer.from(batch.flatMap(imagesOf).join('\n'))],
      { ...insertSettings(batch.length), date_time_input_format: 'best_effort' },
    )
    this.#inserted.set(tableName(table), Number(batch.at(-1)!.seq) + 1)
  }
}

function imagesOf({ seq, op, before, after, rekeyed, at }: Noted): string[] {
  const image = (row: string | null, sign: 1 | -1, as: string) =>
    row === null
      ? []
      : [
          `${row.slice(0, -1)}, "_sign": ${sign}, "_op": "${as}", "_lsn": ${seq}, "_version": ${seq}, "_offset": ${seq}, "_commit_time": "${at}"}`,
        ]
  return [...image(before, -1, rekeyed ? 'd' : op), ...image(after, 1, rekeyed ? 'c' : op)]
}

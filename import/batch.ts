// import/batch: writes a batch of lines and the file's progress to Postgres in one transaction.

import { type Client, query } from '../postgres/client/client.ts'
import { type Cell, copyRows } from '../postgres/client/copy-in.ts'
import { inTransaction } from '../postgres/client/transaction.ts'
import type { ImportedVisit } from './columns.ts'
import { advance, type ImportedFile } from './imported-files.ts'
import type { Place } from './lines.ts'

export interface Batch {
  readonly visits: (ImportedVisit & { readonly line: number; readonly original: () => string })[]
  readonly rejects: Reject[]
  /** The place after its last line. */
  done: Place
}

interface Reject {
  readonly line: number
  readonly reason: string
  readonly original: string
}

const columns = ['line', 'visited_at', 'traffic_source', 'customer_id', 'landing_page', 'cost']

/** A temporary table of the session; every commit empties it. */
export async function prepareBatches(client: Client): Promise<void> {
  await query(
    client,
    `CREATE TEMPORARY TABLE imported (
  line bigint, visited_at timestamptz, traffic_source text, customer_id bigint, landing_page text, cost numeric(15,2)
) ON COMMIT DELETE ROWS`,
  )
}

/** @returns the numbers of new rows and of rejected lines @throws {MillraceError} POSTGRES_* */
export async function loadBatch(
  client: Client,
  { id, source }: ImportedFile,
  { visits, rejects, done }: Batch,
): Promise<{ loaded: number; rejected: number }> {
  return inTransaction(client, async () => {
    await copyRows(client, 'pg_temp.imported', columns, rowsOf(visits))
    // Locks the rows that the visits refer to until the commit.
    await query(
      client,
      'SELECT FROM shop.customers WHERE customer_id IN (SELECT customer_id FROM pg_temp.imported) FOR KEY SHARE',
    )
    const unknown = await rejectUnknown(client)
    const [inserted] = await query<{ rows: string }>(
      client,
      `WITH inserted AS (
  INSERT INTO shop.user_traffic (customer_id, traffic_source_id, visited_at, landing_page, cost, source, source_line)
  SELECT i.customer_id, s.traffic_source_id, i.visited_at, i.landing_page, i.cost, $1, i.line
  FROM pg_temp.imported i JOIN shop.traffic_sources s ON s.name = i.traffic_source
  ORDER BY i.line
  ON CONFLICT (source, source_line) WHERE source IS NOT NULL DO NOTHING
  RETURNING 1
) SELECT count(*) AS rows FROM inserted`,
      [source],
    )
    const loaded = Number(inserted!.rows)
    const originals = new Map(unknown.size === 0 ? [] : visits.map(({ line, original }) => [line, original]))
    const rejected = [...rejects]
    for (const [line, reason] of unknown) rejected.push({ line, reason, original: originals.get(line)!() })
    await insertRejects(client, id, rejected)
    await advance(client, id, done, loaded)
    return { loaded, rejected: rejected.length }
  })
}

function* rowsOf(visits: Batch['visits']): Generator<readonly Cell[]> {
  for (const { line, visitedAt, source, customer, page, cost } of visits)
    yield [line, visitedAt, source, customer, page, cost]
}

/** Removes the lines that refer to missing rows. Returns the reason for each line. */
async function rejectUnknown(client: Client): Promise<Map<number, string>> {
  const rows = await query<{ line: string; reason: string }>(
    client,
    `DELETE FROM pg_temp.imported i USING (
  SELECT line, concat_ws('; ',
    CASE WHEN s.traffic_source_id IS NULL THEN format('there is no traffic source "%s"', left(i.traffic_source, 60)) END,
    CASE WHEN i.customer_id IS NOT NULL AND c.customer_id IS NULL THEN format('there is no customer %s', i.customer_id) END) AS reason
  FROM pg_temp.imported i
  LEFT JOIN shop.traffic_sources s ON s.name = i.traffic_source
  LEFT JOIN shop.customers c ON c.customer_id = i.customer_id
  WHERE s.traffic_source_id IS NULL OR (i.customer_id IS NOT NULL AND c.customer_id IS NULL)
) AS unknown
WHERE unknown.line = i.line RETURNING i.line, unknown.reason`,
  )
  return new Map(rows.map(({ line, reason }) => [Number(line), reason]))
}

async function insertRejects(client: Client, id: number, rejects: readonly Reject[]): Promise<void> {
  if (rejects.length === 0) return
  await query(
    client,
    `INSERT INTO imports.rejects (file_id, line, reason, original)
SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[]) ON CONFLICT (file_id, line) DO NOTHING`,
    [id, rejects.map(({ line }) => line), rejects.map(({ reason }) => reason), rejects.map(({ original }) => original)],
  )
}

// postgres/catalog/facts-query: one statement that reads what the records of a table depend on.
// https://www.postgresql.org/docs/current/catalogs.html

/**
 * `xmin` of a catalog row is the transaction that wrote the row last. The statement takes no lock,
 * so it does not wait for a session that alters a table. pg_partition_tree, pg_relation_size and
 * pg_get_expr would wait. Values are arrays, which halves their size.
 */
const columns = `
SELECT json_agg(json_build_array(a.attnum, a.attname, a.atttypid::int8, a.atttypmod, format_type(a.atttypid, a.atttypmod),
    a.attnotnull, a.attgenerated, a.xmin::text) ORDER BY a.attnum)
FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped`

const key = `
SELECT json_build_array(k.oid::int8, k.conkey, k.condeferrable)
FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p'`

/** The table, its partitions, and the tables that inherit from it. */
const members = `
WITH RECURSIVE tree (oid, link) AS (
  SELECT c.oid, NULL::xid
  UNION ALL SELECT i.inhrelid, i.xmin FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid
)
SELECT json_agg(json_build_array(m.oid::int8, mn.nspname, m.relname, m.relkind, m.relpersistence, m.relreplident, t.link::text,
    m.relfilenode::int8, m.reltoastrelid::int8) ORDER BY m.oid)
FROM tree t JOIN pg_class m ON m.oid = t.oid JOIN pg_namespace mn ON mn.oid = m.relnamespace`

/**
 * Enums and composites behind the columns, at any depth. A change of such a type changes how values
 * print, although no row is written.
 */
const types = `
WITH RECURSIVE used (oid) AS (
  SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= 16384
  UNION
  SELECT inner_type.oid FROM used u JOIN pg_type t ON t.oid = u.oid CROSS JOIN LATERAL (
    SELECT t.typelem
    UNION ALL SELECT t.typbasetype
    UNION ALL SELECT a.atttypid FROM pg_attribute a
      WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = t.oid
    UNION ALL SELECT r.rngtypid FROM pg_range r WHERE r.rngmultitypid = t.oid
  ) inner_type (oid) WHERE inner_type.oid >= 16384
)
SELECT json_agg(json_build_array(t.oid::int8, format_type(t.oid, NULL), t.typtype, CASE t.typtype
    WHEN 'e' THEN (SELECT json_agg(json_build_array(e.oid::int8, e.enumlabel, e.xmin::text) ORDER BY e.enumsortorder)
      FROM pg_enum e WHERE e.enumtypid = t.oid)
    ELSE (SELECT json_agg(json_build_array(a.attnum, a.atttypid::int8, a.atttypmod) ORDER BY a.attnum)
      FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
  END) ORDER BY t.oid)
FROM used JOIN pg_type t ON t.oid = used.oid WHERE t.typtype IN ('e', 'c')`

/**
 * The entries that publish the table: its own, that of its schema, or the publication itself where
 * it is FOR ALL TABLES. The last two override a row filter. Servers before 15 have neither row
 * filters nor column lists, so the row is read as JSON.
 */
const published = (version: number) => `
SELECT CASE WHEN count(*) > 0 THEN json_build_array(json_agg(e.oid ORDER BY e.oid), bool_and(e.filtered), bool_and(e.some_columns)) END
FROM (
  SELECT r.oid::int8, to_jsonb(r) ->> 'prqual' IS NOT NULL, to_jsonb(r) ->> 'prattrs' IS NOT NULL
    FROM pg_publication_rel r WHERE r.prpubid = $2 AND r.prrelid = c.oid
  UNION ALL SELECT p.oid::int8, false, false FROM pg_publication p WHERE p.oid = $2 AND p.puballtables
  ${version < 150_000 ? '' : 'UNION ALL SELECT s.oid::int8, false, false FROM pg_publication_namespace s WHERE s.pnpubid = $2 AND s.pnnspid = c.relnamespace'}
) e (oid, filtered, some_columns)`

/**
 * Other published tables that have this one as a partition. Changes then have the name of the
 * topmost one.
 */
const publishedRoots = (version: number) => `
WITH RECURSIVE above (oid) AS (
  SELECT i.inhparent FROM pg_inherits i WHERE c.relispartition AND i.inhrelid = c.oid
  UNION ALL SELECT i.inhparent FROM above a JOIN pg_inherits i ON i.inhrelid = a.oid
)
SELECT json_agg(json_build_array(rn.nspname, r.relname, NOT wider.holds) ORDER BY rn.nspname, r.relname)
FROM above JOIN pg_class r ON r.oid = above.oid JOIN pg_namespace rn ON rn.oid = r.relnamespace
  CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM pg_publication p WHERE p.oid = $2 AND p.puballtables)
    ${version < 150_000 ? '' : 'OR EXISTS (SELECT FROM pg_publication_namespace p WHERE p.pnpubid = $2 AND p.pnnspid = rn.oid)'}) wider (holds)
WHERE wider.holds OR EXISTS (SELECT FROM pg_publication_rel p WHERE p.prpubid = $2 AND p.prrelid = r.oid)`

/** Facts by oid of the table. $1 is the tables, $2 the publication. A dropped table has no row. */
export const factsQuery = (version: number) => `
SELECT c.oid::int8 AS oid, json_build_array(n.nspname, c.relname, c.relkind, (${columns}), (${key}), (${members}), (${types}),
  (${published(version)}), (${publishedRoots(version)}))::text AS facts
FROM unnest($1::oid[]) AS known (oid) JOIN pg_class c ON c.oid = known.oid JOIN pg_namespace n ON n.oid = c.relnamespace`

/** A digest of the facts. It differs whenever the facts differ. */
export const digestQuery = (version: number) => `SELECT oid, md5(facts) AS digest FROM (${factsQuery(version)}) facts`

/**
 * The publication $1, and the oldest transaction whose work the following statements may not see.
 * JIT is off, because compiling these statements costs more time than it saves.
 */
export const momentQuery = `
SELECT set_config('jit', 'off', false), current_setting('server_version_num')::int AS version,
  pg_snapshot_xmin(pg_current_snapshot())::xid::text AS seen,
  (SELECT json_build_object('oid', p.oid::int8, 'owner', p.pubowner::int8, 'written', p.xmin::text,
      'lacking', array_remove(ARRAY[
        CASE WHEN NOT p.pubinsert THEN 'insert' END, CASE WHEN NOT p.pubupdate THEN 'update' END,
        CASE WHEN NOT p.pubdelete THEN 'delete' END, CASE WHEN NOT p.pubtruncate THEN 'truncate' END,
        CASE WHEN NOT p.pubviaroot THEN 'publish_via_partition_root' END,
        CASE WHEN coalesce(to_jsonb(p) ->> 'pubgencols', 's') <> 's' THEN 'publish_generated_columns' END], NULL))
    FROM pg_publication p WHERE p.pubname = $1) AS publication`

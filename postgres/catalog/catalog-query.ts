// postgres/catalog/catalog-query: one statement that reads the tables of the database.
// https://www.postgresql.org/docs/current/catalogs.html

/**
 * A domain may be based on another domain. The innermost type and its modifier decide how values
 * look.
 */
const domains = `
domains (declared, type, modifier) AS (
  SELECT oid, typbasetype, typtypmod FROM pg_type WHERE typtype = 'd'
  UNION ALL
  SELECT d.declared, t.typbasetype, t.typtypmod FROM domains d JOIN pg_type t ON t.oid = d.type WHERE t.typtype = 'd'
)`

/**
 * Built-in types and arrays have their bare names. Any other type has its schema in the name,
 * because it may be called like a built-in one.
 */
const columns = `
SELECT json_agg(json_build_object(
    'name', a.attname,
    'number', a.attnum,
    'typeOid', a.atttypid::int8,
    'typeModifier', a.atttypmod,
    'pgType', format_type(a.atttypid, a.atttypmod),
    'type', json_build_object(
      'name', CASE WHEN b.typnamespace = 'pg_catalog'::regnamespace OR (b.typcategory = 'A' AND b.typelem <> 0)
        THEN b.typname::text ELSE b.typnamespace::regnamespace || '.' || b.typname END,
      'kind', b.typtype,
      'typeModifier', CASE WHEN d.type IS NULL THEN a.atttypmod ELSE d.modifier END),
    'nullable', NOT a.attnotnull OR EXISTS (SELECT FROM pg_constraint
      WHERE conrelid = c.oid AND contype = 'n' AND conkey = ARRAY[a.attnum] AND NOT convalidated),
    'deterministic', coalesce((SELECT collisdeterministic FROM pg_collation WHERE oid = a.attcollation), true),
    'generated', a.attgenerated,
    'comment', col_description(c.oid, a.attnum)
  ) ORDER BY a.attnum)
FROM pg_attribute a
  LEFT JOIN (domains d JOIN pg_type r ON r.oid = d.type AND r.typtype <> 'd') ON d.declared = a.atttypid
  JOIN pg_type b ON b.oid = coalesce(d.type, a.atttypid)
WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped`

const key = `
SELECT json_agg(a.attname ORDER BY k.place)
FROM pg_index i
  CROSS JOIN unnest(i.indkey) WITH ORDINALITY k (number, place)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
WHERE i.indrelid = c.oid AND i.indisprimary AND k.place <= i.indnkeyatts`

const partitions = `
SELECT json_agg(json_build_object(
    'oid', l.oid::int8, 'schema', ln.nspname, 'name', l.relname, 'kind', l.relkind,
    'persistence', l.relpersistence, 'replicaIdentity', l.relreplident
  ) ORDER BY ln.nspname, l.relname)
FROM pg_partition_tree(c.oid) p JOIN pg_class l ON l.oid = p.relid JOIN pg_namespace ln ON ln.oid = l.relnamespace
WHERE c.relkind = 'p' AND p.isleaf AND p.relid <> c.oid`

export const catalogQuery = `
WITH RECURSIVE ${domains}
SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind, c.relreplident AS "replicaIdentity",
  c.relpersistence AS persistence,
  coalesce((${columns}), '[]') AS columns,
  coalesce((${key}), '[]') AS key,
  coalesce((${partitions}), '[]') AS partitions,
  coalesce((SELECT json_agg(relid::oid::int8) FROM pg_partition_ancestors(c.oid) WHERE relid <> c.oid), '[]') AS ancestors,
  NOT c.relispartition AND EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid) AS inherits,
  c.relkind <> 'p' AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid) AS inherited,
  obj_description(c.oid, 'pg_class') AS comment
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname NOT LIKE 'pg\\_toast\\_temp\\_%'
ORDER BY n.nspname, c.relname`

// test/unit/kafka-schemas: the schema catalog built from the records of a `_schemas` topic, in any
// order of writers.

import fc from 'fast-check'
import { noopKey, recordKey, recordValue, SchemaCatalog } from '../../kafka/registry/schema-catalog.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('kafka schemas')

type Log = { key: string; value: string | null }[]

function read(log: Log): SchemaCatalog {
  const catalog = new SchemaCatalog()
  for (const { key, value } of log) catalog.apply(key, value)
  return catalog
}

/** The topic after compaction: the last record of every key, in the order of the topic. */
function compact(log: Log): Log {
  return log.filter(({ key }, at) => log.findLastIndex(other => other.key === key) === at)
}

/**
 * Registers as TopicRegistry does, with a pause between reading and writing in which another writer
 * may write.
 */
function* register(log: Log, subject: string, schema: string): Generator<void, number> {
  for (;;) {
    const catalog = read(log)
    const [hidden] = catalog.hidden()
    const found = catalog.find(subject, schema)
    if (found && !hidden) return found.id
    yield
    let record = hidden && catalog.nextVersion(hidden.subject, hidden.schema, hidden.id)
    if (!record) {
      const known = catalog.idOf(schema)
      const offset = known === undefined ? log.push({ key: noopKey, value: null }) - 1 : 0
      record = catalog.nextVersion(subject, schema, known ?? catalog.newId(offset))
      yield
    }
    log.push({ key: recordKey(record), value: recordValue(record) })
    yield
  }
}

test('every returned id keeps its schema, compacted or not, under any interleaving of writers', () => {
  const wishes = fc.array(fc.tuple(fc.constantFrom('s', 't'), fc.constantFrom('1', '2', '3', '4')), {
    minLength: 2,
    maxLength: 6,
  })
  fc.assert(
    fc.property(wishes, fc.infiniteStream(fc.nat(100)), (given, picks) => {
      const log: Log = []
      const running = given.map(([subject, schema]) => ({ schema, steps: register(log, subject, schema) }))
      const ids: { id: number; schema: string }[] = []
      while (running.length > 0) {
        const at = picks.next().value % running.length
        const { schema, steps } = running[at]!
        const step = steps.next()
        if (!step.done) continue
        ids.push({ id: step.value, schema })
        running.splice(at, 1)
      }
      for (const view of [read(log), read(compact(log))])
        for (const { id, schema } of ids) assert.is(view.byId(id), schema)
    }),
    { numRuns: 500 },
  )
})

test('deleted versions are not listed, but their ids stay readable', () => {
  const record = { subject: 's', version: 1, id: 3, schema: '"long"', deleted: false }
  const log: Log = [
    { key: recordKey(record), value: recordValue(record) },
    { key: recordKey(record), value: recordValue({ ...record, deleted: true }) },
  ]
  const catalog = read(log)
  assert.equal(catalog.versions('s'), [])
  assert.equal(catalog.subjects(), [])
  assert.is(catalog.byId(3), '"long"')
  assert.is(catalog.nextVersion('s', '"int"', 4).version, 2)
})

test('other kinds of registry records are skipped', () => {
  const catalog = read([
    { key: '{"keytype":"NOOP","magic":0}', value: null },
    { key: '{"keytype":"CONFIG","subject":null,"magic":0}', value: '{"compatibilityLevel":"NONE"}' },
    { key: '{"keytype":"DELETE_SUBJECT","subject":"s","magic":0}', value: '{"subject":"s","version":1}' },
    { key: recordKey({ subject: 's', version: 1 }), value: null },
  ])
  assert.equal(catalog.subjects(), [])
  assert.is(catalog.newId(4), 5)
  assert.is(catalog.nextVersion('s', '"long"', 5).version, 1)
})

test.run()

// test/support/faults/outage: a producer whose Postgres or Kafka is away, and checks that it
// recovers.

import { assert, until } from '../harness/suite.ts'
import type { CaptureRun } from '../pipelines/capture-run.ts'

/** A table that only gets inserts. */
export const createNotes = `
CREATE TABLE notes (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, text text);
ALTER TABLE notes REPLICA IDENTITY FULL`

/** Asserts that all committed rows and one more are in the topics within this time. */
export async function settlesWithin(run: CaptureRun, timeoutMs: number): Promise<void> {
  await run.sql("INSERT INTO notes (text) VALUES ('x')")
  await run.settle(timeoutMs)
}

/** Ends the stream's connection, so the producer opens everything again. */
export async function endStream(run: CaptureRun): Promise<void> {
  await run.sql(
    `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active AND database = current_database()`,
  )
}

/** Waits until the producer holds more than this number of bytes that are not in Kafka. */
export async function untilPending(run: CaptureRun, bytes: number): Promise<void> {
  const isPending = async () => ((await run.status())?.pendingBytes ?? 0) > bytes
  await until(isPending, { what: 'Kafka takes nothing', timeoutMs: 60_000 })
}

/**
 * Asserts that the producer obeys SIGTERM long before its own deadline, and logs that it is done.
 */
export async function assertStopsAtOnce({ worker }: CaptureRun): Promise<void> {
  const started = performance.now()
  await worker.stop()
  const lasted = Math.round(performance.now() - started)
  assert.is(worker.end?.code, 0, worker.tail())
  assert.ok(lasted < 4_000, `it took ${lasted} ms\n${worker.tail()}`)
}

// test/support/faults/outage: what tests of a producer without Postgres or Kafka do to it.

import { assert, until } from '../harness/suite.ts'
import type { CaptureRun } from '../pipelines/capture-run.ts'

/** A table whose rows only grow in number. */
export const createNotes = `
CREATE TABLE notes (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, text text);
ALTER TABLE notes REPLICA IDENTITY FULL`

/** Everything committed so far, and one more row, is in the topics in that time from now on. */
export async function settlesWithin(run: CaptureRun, timeoutMs: number): Promise<void> {
  await run.sql("INSERT INTO notes (text) VALUES ('x')")
  await run.settle(timeoutMs)
}

/** The stream's connection ends, so that the producer opens everything anew. */
export async function endStream(run: CaptureRun): Promise<void> {
  await run.sql(
    `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active AND database = current_database()`,
  )
}

/** More than so many bytes have been read and are not in Kafka. */
export async function untilPending(run: CaptureRun, bytes: number): Promise<void> {
  const isPending = async () => ((await run.status())?.pendingBytes ?? 0) > bytes
  await until(isPending, { what: 'Kafka takes nothing', timeoutMs: 60_000 })
}

/** It obeys SIGTERM long before its own deadline, and says that it has done its work. */
export async function assertStopsAtOnce({ worker }: CaptureRun): Promise<void> {
  const started = performance.now()
  await worker.stop()
  const lasted = Math.round(performance.now() - started)
  assert.is(worker.end?.code, 0, worker.tail())
  assert.ok(lasted < 4_000, `it took ${lasted} ms\n${worker.tail()}`)
}

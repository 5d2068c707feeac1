// test/support/pipelines/writer: an endless series of changes while a test runs.

import type { Pipeline } from './pipeline.ts'

export interface Writer {
  /** Stops the writer and returns the number of commits. */
  stop(): Promise<number>
}

/**
 * Runs a statement again and again in its own session, each time in a transaction, until it is
 * stopped.
 */
export async function keepWriting(
  pipeline: Pipeline,
  { statement, pauseMs }: { readonly statement: (count: number) => string; readonly pauseMs: number },
): Promise<Writer> {
  const client = await pipeline.connect()
  let writing = true
  const write = async () => {
    let commits = 0
    for (; writing; commits++) {
      await client.query(statement(commits))
      await client.query(`SELECT pg_sleep(${pauseMs / 1000})`)
    }
    return commits
  }
  const written = write()
  return {
    stop() {
      writing = false
      return written
    },
  }
}

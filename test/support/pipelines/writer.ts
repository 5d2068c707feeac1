// test/support/pipelines/writer: changes without an end beside a test.

import type { Pipeline } from './pipeline.ts'

export interface Writer {
  /** Gives the number of commits. */
  stop(): Promise<number>
}

/** Runs a statement in a session of its own, each time in a transaction, until told to stop. */
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

// cli/forget/reload: loads a new generation beside the live one and waits until analysts see it.

import { connectClickhouse } from '../../clickhouse/client.ts'
import type { ConsumerStatus } from '../../consumer/status.ts'
import { type Generation, generationDatabase } from '../../contract/generation.ts'
import { newestGeneration } from '../../kafka/generations-topic.ts'
import { runCapture } from '../../producer/run.ts'
import { askStatus } from '../../runtime/service-discovery.ts'
import { waitUntil } from '../../runtime/wait.ts'
import { failWithChild, startChild } from '../child-process.ts'
import type { CommandContext } from '../command.ts'
import { knownGenerations, type PipelineConnections } from '../connections.ts'

/** How often to ask whether the new generation is visible. Only the signal limits the wait. */
const askEveryMs = 500

/**
 * Loads and streams a new generation until a consumer has made it visible. A producer that runs
 * elsewhere continues with it afterwards. If no consumer runs, this starts one for the duration.
 * @param after a live generation that begins at this LSN or later is used as it is
 * @param sameConfig global options that make another process read this configuration
 * @throws {MillraceError} as the producer; CHILD_ENDED when the consumer fails
 */
export async function reload(
  { config, lifecycle, log }: CommandContext,
  connections: PipelineConnections,
  { after, sameConfig }: { after: number; sameConfig: readonly string[] },
): Promise<Generation> {
  const stop = new AbortController()
  const signal = AbortSignal.any([lifecycle.signal, stop.signal])
  const newest = newestGeneration(await knownGenerations(connections))
  const isYoungEnough = newest?.state === 'live' && newest.consistentPoint >= after
  // A generation that is new enough may have a producer; then this one only waits.
  const capture = runCapture({ ...connections, signal }, !isYoungEnough)
  const endings: Promise<never>[] = [capture.then(() => new Promise<never>(() => {}))]
  try {
    if ((await askStatus<ConsumerStatus>(config.directory, config.name, 'consumer')) === undefined) {
      const consumer = startChild('consumer', [...sameConfig, 'consumer'], config.directory)
      lifecycle.opened('consumer', () => consumer.stop())
      endings.push(failWithChild([consumer], config.directory))
    }
    let found: Generation | undefined
    const shown = async () => {
      lifecycle.signal.throwIfAborted()
      found = newestGeneration(await knownGenerations(connections))
      return found?.state === 'live' && found.consistentPoint >= after && (await isVisible(connections, found))
    }
    await Promise.race([waitUntil(shown, { everyMs: askEveryMs }), ...endings])
    log.info('the new generation is visible', { generation: found!.number })
    return found!
  } finally {
    stop.abort()
    await capture.catch(() => {})
  }
}

/** The consumer writes the first watermark after it has switched the stable views. */
async function isVisible(
  { clickhouse, services, config }: PipelineConnections,
  { number }: Generation,
): Promise<boolean> {
  const database = generationDatabase(config.name, number)
  const [table] = await clickhouse.rows(
    `SELECT 1 FROM system.tables WHERE database = {database:String} AND name = 'watermark'`,
    { database },
  )
  if (table === undefined) return false
  const own = connectClickhouse({ ...services.clickhouse, database })
  try {
    return (await own.rows("SELECT 1 FROM watermark WHERE scope = '' LIMIT 1")).length > 0
  } finally {
    await own.close()
  }
}

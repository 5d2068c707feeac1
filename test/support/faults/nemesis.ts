// test/support/faults/nemesis: SIGKILL for the parts of a pipeline under load, at moments that a
// seed chooses.
// "Nemesis" is Jepsen's word for the process that injects faults into a system under test.

import { setTimeout as pause } from 'node:timers/promises'
import { parseLsn } from '../../../contract/position.ts'
import type { Random } from '../../../generator/shop/random.ts'
import type { Pipeline } from '../pipelines/pipeline.ts'
import type { Services } from '../servers/services.ts'

export const targets = ['producer', 'consumer', 'kafka', 'clickhouse', 'postgres'] as const
type Target = (typeof targets)[number]

const mostPauseMs = 1_500
const recoveryMs = 60_000

/**
 * Kills every target `times` times, in random order. A killed target is started again at once. Most
 * kills wait until changes made after the previous kill are visible, so they hit a working
 * pipeline. The others hit a pipeline that is recovering.
 * @throws {Error} when a target was not running, when no change is made after a kill, or when no
 * change becomes visible again
 */
export async function killEach(
  pipeline: Pipeline,
  { services, times, random }: { services: Services; times: number; random: Random },
): Promise<void> {
  const order = targets
    .flatMap(target => Array.from({ length: times }, () => ({ target, place: random.fraction() })))
    .sort((a, b) => a.place - b.place)
  let last = await writtenLsn(pipeline)
  for (const [index, { target }] of order.entries()) {
    const amidRecovery = index > 0 && random.chance(0.3)
    if (!amidRecovery)
      await pipeline.until(async () => (await visibleLsn(pipeline)) > last, {
        what: `changes are visible again before kill ${index + 1}, of ${target}`,
        timeoutMs: recoveryMs,
      })
    await pause(random.integer(0, mostPauseMs))
    // The writer may still be reconnecting after the previous kill. A kill without changes around
    // it would test nothing.
    await pipeline.until(async () => (await writtenLsn(pipeline)) > last, {
      what: `something is written before kill ${index + 1}, of ${target}`,
      timeoutMs: recoveryMs,
    })
    last = await writtenLsn(pipeline)
    console.log(`kill ${index + 1}/${order.length}: ${target}${amidRecovery ? ' amid a recovery' : ''}`)
    await kill(pipeline, services, target)
  }
}

async function kill({ producer, consumer }: Pipeline, services: Services, target: Target): Promise<void> {
  if (target === 'producer') return producer.kill()
  if (target === 'consumer') return consumer.kill()
  await services.kill(target)
  await services.restart()
}

export async function writtenLsn(pipeline: Pipeline): Promise<number> {
  const [row] = await pipeline.sql<{ lsn: string }>('SELECT pg_current_wal_insert_lsn() AS lsn')
  return parseLsn(row!.lsn)
}

export async function visibleLsn(pipeline: Pipeline): Promise<number> {
  const [row] = await pipeline.clickhouse<{ lsn: string }>("SELECT max(lsn) AS lsn FROM watermark WHERE scope = ''")
  return Number(row?.lsn)
}

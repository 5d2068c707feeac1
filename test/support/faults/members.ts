// test/support/faults/members: random faults of several consumers of one generation, and checks
// that every change counts once.

import { setTimeout as pause } from 'node:timers/promises'
import type { Random } from '../../../generator/shop/random.ts'
import { until } from '../harness/suite.ts'
import type { Pipeline } from '../pipelines/pipeline.ts'
import type { Worker } from '../pipelines/worker.ts'
import type { Services } from '../servers/services.ts'
import { visibleLsn, writtenLsn } from './nemesis.ts'

/** A fault of a randomly chosen consumer, or of a server. */
export const faults = ['kill', 'kill', 'kill', 'terminate', 'suspend', 'clickhouse', 'clickhouse', 'kafka'] as const
type Fault = (typeof faults)[number]

const mostPauseMs = 1_500
/** Share of the faults that begin while the consumers still recover from the previous fault. */
const amidRecovery = 0.7
const recoveryMs = 120_000
/** A consumer's session lasts 10 s, so other consumers own its partitions when it continues. */
const suspensionMs = { least: 11_000, most: 16_000 }

export interface Disturbance {
  /** Servers of the pipeline. */
  readonly services: Services
  /** Consumers of the pipeline. All of them run and are supervised. */
  readonly members: readonly Worker[]
  readonly faults: readonly Fault[]
  readonly random: Random
}

/**
 * Injects the faults one after the other. A killed process is started again at once. Some faults
 * wait until changes made after the previous fault are visible; the others happen during a
 * recovery. A suspended consumer does no work meanwhile.
 * @throws {Error} when no further change becomes visible
 */
export async function disturb(pipeline: Pipeline, { services, members, faults, random }: Disturbance): Promise<void> {
  const suspended = new Map<Worker, Promise<void>>()
  let last = await writtenLsn(pipeline)
  for (const [index, fault] of faults.entries()) {
    if (index > 0 && !random.chance(amidRecovery)) {
      const what = `changes are visible again before fault ${index + 1}, ${fault}`
      await until(async () => (await visibleLsn(pipeline).catch(() => 0)) > last, { what, timeoutMs: recoveryMs })
    }
    await pause(random.integer(0, mostPauseMs))
    last = await writtenLsn(pipeline)
    console.log(`fault ${index + 1}/${faults.length}: ${fault}`)
    if (fault === 'clickhouse' || fault === 'kafka') {
      await services.kill(fault)
      await services.restart()
      continue
    }
    await until(() => members.some(isUp), { what: 'a consumer runs', timeoutMs: recoveryMs })
    const member = random.pick(members.filter(isUp))
    if (fault === 'kill') await member.kill()
    else if (fault === 'terminate') await member.terminate()
    else suspended.set(member, suspend(member, random.integer(suspensionMs.least, suspensionMs.most)))
  }
  await Promise.all(suspended.values())

  function isUp(member: Worker): boolean {
    return member.running && !suspended.has(member)
  }

  async function suspend(member: Worker, ms: number): Promise<void> {
    member.suspend()
    await pause(ms)
    member.resume()
    suspended.delete(member)
  }
}

/**
 * Number of images and of distinct positions per changelog. Images of a TRUNCATE share one position
 * and are left out.
 */
export async function countImages(pipeline: Pipeline): Promise<Record<string, { images: number; distinct: number }>> {
  const tables = await pipeline.clickhouse<{ name: string }>(
    "SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE '%.changelog'",
  )
  const counts: Record<string, { images: number; distinct: number }> = {}
  for (const { name } of tables) {
    const [row] = await pipeline.clickhouse<{ images: string; distinct: string }>(
      `SELECT toString(count()) AS images, toString(uniqExact(_partition, _offset, _sign)) AS distinct FROM \`${name}\` WHERE _op != 't'`,
    )
    counts[name] = { images: Number(row!.images), distinct: Number(row!.distinct) }
  }
  return counts
}

/** How often these consumers have computed an aggregate from the tables, since they were made. */
export function computedAggregates(members: readonly Worker[]): number {
  return members.reduce((sum, { log }) => sum + log.split('aggregate computed from the tables').length - 1, 0)
}

// producer/generation/cleanup: removes what a generation has in Postgres and Kafka.

import { consumerGroup, type Generation, generationTopics, publicationName } from '../../contract/generation.ts'
import { readOwner } from '../../contract/owner.ts'
import { deleteTopics } from '../../kafka/client/admin.ts'
import { readGenerations, writeGeneration } from '../../kafka/generations-topic.ts'
import { deleteGroup, requireNoMembers } from '../../kafka/group/coordinator.ts'
import { type Client, withClient } from '../../postgres/client/client.ts'
import { identify } from '../../postgres/replication/history.ts'
import { dropPublication, findPublications } from '../../postgres/replication/publication.ts'
import { dropSlot, slotState } from '../../postgres/replication/slot.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { retry } from '../../runtime/retry.ts'
import type { Steps } from '../../runtime/steps.ts'
import type { ProducerContext } from '../context.ts'
import { type Lock, lockName, takeLock } from './lock.ts'

/** What the removal of a generation needs, also outside a producer. */
export type CleanupContext = Pick<ProducerContext, 'config' | 'url' | 'kafka' | 'log'> &
  Partial<Pick<ProducerContext, 'signal'>>

/**
 * Drops a generation's slot, its own publication and its topics. Missing ones are no error. The
 * generation's record must say before that they are being removed. An existing publication of the
 * user stays.
 */
export async function removeGeneration(context: CleanupContext, generation: Generation): Promise<void> {
  const { config, url, kafka, log, signal } = context
  const { source } = await identify(url, signal)
  const inPostgres = async (client: Client) => {
    const whose =
      source === generation.source
        ? await whoseInstead(client, config.name, generation)
        : `the generation's are in ${generation.source}`
    if (whose !== undefined) {
      const { slot } = generation
      log.warn('the slot and publication of this name are not removed: they do not belong to this generation', {
        slot,
        whose,
      })
      return
    }
    await dropSlot(client, generation.slot)
    // The publication is dropped last in Postgres, because its mark shows who owns the slot.
    if (generation.publication === undefined) {
      await dropPublication(client, publicationName(config.name, generation.number))
    }
  }
  await withClient(url, inPostgres, signal)
  await deleteTopics(kafka, generationTopics(config.name, generation), signal)
}

/**
 * The owner of a generation's slot and publication where it is another pipeline; undefined where
 * they are its own, or are missing.
 */
async function whoseInstead(
  client: Client,
  pipeline: string,
  { number, id, publication }: Generation,
): Promise<string | undefined> {
  // With an existing publication, the slot's name contains the id.
  if (publication !== undefined) return undefined
  const own = publicationName(pipeline, number)
  const found = (await findPublications(client, own)).find(({ name }) => name === own)
  if (found === undefined || readOwner(found.comment)?.id === id) return undefined
  return found.comment ?? 'has no owner mark'
}

/** Postgres may take this long to notice that a reader is gone. */
const idleTimeoutMs = 10_000

/**
 * Prevents producers from using the generation until the lock is released. Nothing was removed when
 * it throws.
 * @throws {MillraceError} PRODUCER_RUNNING while a producer streams the generation; GROUP_ACTIVE
 *   while a consumer reads it; SLOT_ACTIVE while any connection reads its slot
 */
export async function lockGeneration(context: CleanupContext, generation: Generation): Promise<Lock> {
  const { config, kafka, url, log, signal = new AbortController().signal } = context
  const { slot, number } = generation
  const lock = await takeLock(url, lockName(config.name, number), signal)
  try {
    await requireNoMembers(kafka, consumerGroup(config.name, number))
    const requireIdle = async () => {
      const state = await withClient(url, client => slotState(client, slot), signal)
      if (state?.active) throw slotRead(slot)
    }
    await retry(requireIdle, { what: `find slot ${slot} without a reader`, signal, log, limitMs: idleTimeoutMs })
    return lock
  } catch (error) {
    await lock.release()
    throw error
  }
}

function slotRead(slot: string): MillraceError {
  return new MillraceError('SLOT_ACTIVE', {
    what: 'a connection reads the replication slot that is to be dropped',
    where: `slot ${slot}`,
    next: 'stop the producer, or the other reader: pg_replication_slots has its process id as active_pid',
  })
}

/**
 * Removes a generation that was live: its slot, its own publication, its topics (dead letters
 * included) and its consumer group. The record is written first, so that no process uses a
 * half-removed generation. The topics are removed last, because `millrace generations` lists a
 * generation as long as it has topics.
 * @throws {MillraceError} as `lockGeneration`
 */
export async function* dropGeneration(context: CleanupContext, generation: Generation): Steps {
  const { config, kafka, signal } = context
  const { number, state } = generation
  const lock = await lockGeneration(context, generation)
  try {
    // A generation that is already marked may be removed only in part, if an earlier call was
    // interrupted.
    if (state !== 'abandoned' && state !== 'dropped') {
      await writeGeneration(kafka, config.name, { ...generation, state: 'dropped' }, signal)
      yield `generation ${number} is recorded as dropped`
    }
    await deleteGroup(kafka, consumerGroup(config.name, number))
    yield `the consumer group of generation ${number} is gone`
    await removeGeneration(context, generation)
    const { publication } = generation
    yield publication === undefined
      ? `slot, publication and topics of generation ${number} are gone`
      : `slot and topics of generation ${number} are gone; the publication ${publication} stays`
  } finally {
    await lock.release()
  }
}

/**
 * Gives up a load that was interrupted. Its number is not used again.
 * @throws {MillraceError} PRODUCER_RUNNING when the load is running in another process
 */
export async function abandon(context: ProducerContext, generation: Generation): Promise<void> {
  const lock = await takeLock(context.url, lockName(context.config.name, generation.number), context.signal)
  try {
    // The earlier holder of the lock may have completed the load.
    const known = await readGenerations(context.fetcher, context.config.name, context.signal)
    if (known.find(({ number }) => number === generation.number)?.state === 'live') return
    await removeGeneration(context, generation)
    await writeAbandoned(context, generation)
  } finally {
    await lock.release()
  }
}

export async function writeAbandoned(
  { config, kafka, log, signal }: CleanupContext,
  generation: Generation,
): Promise<void> {
  await writeGeneration(kafka, config.name, { ...generation, state: 'abandoned' }, signal)
  log.warn('a load was interrupted; its slot and topics are removed', {
    generation: generation.number,
    slot: generation.slot,
  })
}

// producer/cleanup: takes back what a generation holds in Postgres and Kafka, because it never came to life or is no longer wanted.
// May know: contract, kafka, postgres, runtime, producer.

import { consumerGroup, type Generation, generationTopics, publicationName } from '../contract/generation.ts'
import { readOwner } from '../contract/owner.ts'
import { deleteTopics } from '../kafka/admin.ts'
import { deleteGroup, requireNoMembers } from '../kafka/coordinator.ts'
import { readGenerations, writeGeneration } from '../kafka/generations.ts'
import { withClient } from '../postgres/connect.ts'
import { identify } from '../postgres/history.ts'
import { dropPublication, findPublications } from '../postgres/publication.ts'
import { dropSlot, slotState } from '../postgres/slot.ts'
import { MillraceError } from '../runtime/errors.ts'
import { retry } from '../runtime/retry.ts'
import type { Steps } from '../runtime/steps.ts'
import { type Lock, takeLock } from './lock.ts'
import type { Workspace } from './workspace.ts'

/** What it takes to remove a generation, also outside a producer. */
export type Place = Pick<Workspace, 'config' | 'url' | 'kafka' | 'log'> & Partial<Pick<Workspace, 'signal'>>

/**
 * Drops a generation's slot, publication and topics; what is not there is no error. The record that names them has to say already that they go.
 * The publication is the last in Postgres, since its mark says whose the slot is; with another mark, both are left alone.
 */
export async function removeGeneration(place: Place, generation: Generation): Promise<void> {
  const { config, url, kafka, log, signal } = place
  const { number, slot } = generation
  const { source } = await identify(url, signal)
  const publication = publicationName(config.name, number)
  await withClient(
    url,
    async client => {
      const found = (await findPublications(client, publication)).find(({ name }) => name === publication)
      const isForeign = found !== undefined && readOwner(found.comment)?.id !== generation.id
      if (isForeign || source !== generation.source) {
        const whose = isForeign
          ? (found.comment ?? 'says nothing of who made it')
          : `the generation's are in ${generation.source}`
        log.warn('the slot and publication of this name are left alone: they are not of this generation', {
          slot,
          whose,
        })
        return
      }
      await dropSlot(client, slot)
      await dropPublication(client, publication)
    },
    signal,
  )
  await deleteTopics(kafka, generationTopics(config.name, generation), signal)
}

/** Postgres may notice only after a moment that a reader is gone. */
const farewellMs = 10_000

/**
 * Keeps producers from the generation until the lock is released. Nothing has been removed when it throws.
 * @throws {MillraceError} PRODUCER_RUNNING while a producer streams it; GROUP_ACTIVE while somebody folds it; SLOT_ACTIVE while anybody reads
 *   its slot
 */
export async function holdGeneration(place: Place, generation: Generation): Promise<Lock> {
  const { config, kafka, url, log, signal = new AbortController().signal } = place
  const { slot, number } = generation
  const lock = await takeLock(url, slot, signal)
  try {
    await requireNoMembers(kafka, consumerGroup(config.name, number))
    const requireIdle = async () => {
      const state = await withClient(url, client => slotState(client, slot), signal)
      if (state?.active) throw slotRead(slot)
    }
    await retry(requireIdle, { what: `see slot ${slot} idle`, signal, log, limitMs: farewellMs })
    return lock
  } catch (error) {
    await lock.release()
    throw error
  }
}

function slotRead(slot: string): MillraceError {
  return new MillraceError('SLOT_ACTIVE', {
    what: 'somebody reads the replication slot that is to be dropped',
    where: `slot ${slot}`,
    next: 'stop the producer, or what else reads it: pg_replication_slots names the process as active_pid',
  })
}

/**
 * Removes a generation that was live: its slot, publication, topics (dead letters among them) and consumer group. The record comes first, so that
 * nobody takes up what is half removed; the topics come last, since `millrace generations` lists a generation for as long as there are any.
 * @throws {MillraceError} as `holdGeneration`
 */
export async function* dropGeneration(place: Place, generation: Generation): Steps {
  const { config, kafka, signal } = place
  const { number, state } = generation
  const lock = await holdGeneration(place, generation)
  try {
    // One that is gone already may be removed only in part: a call before was cut off.
    if (state !== 'abandoned' && state !== 'dropped') {
      await writeGeneration(kafka, config.name, { ...generation, state: 'dropped' }, signal)
      yield `generation ${number} is recorded as dropped`
    }
    await deleteGroup(kafka, consumerGroup(config.name, number))
    yield `the consumer group of generation ${number} is gone`
    await removeGeneration(place, generation)
    yield `slot, publication and topics of generation ${number} are gone`
  } finally {
    await lock.release()
  }
}

/**
 * Gives up a load that was cut off; its number is not used again.
 * @throws {MillraceError} PRODUCER_RUNNING when it was not cut off, but is under way in another process
 */
export async function abandon(workspace: Workspace, generation: Generation): Promise<void> {
  const lock = await takeLock(workspace.url, generation.slot, workspace.signal)
  try {
    // Whoever had the lock before may have completed it.
    const known = await readGenerations(workspace.fetcher, workspace.config.name, workspace.signal)
    if (known.find(({ number }) => number === generation.number)?.state === 'live') return
    await removeGeneration(workspace, generation)
    await writeAbandoned(workspace, generation)
  } finally {
    await lock.release()
  }
}

export async function writeAbandoned({ config, kafka, log, signal }: Place, generation: Generation): Promise<void> {
  await writeGeneration(kafka, config.name, { ...generation, state: 'abandoned' }, signal)
  log.warn('a load was cut off; its slot and topics are removed', {
    generation: generation.number,
    slot: generation.slot,
  })
}

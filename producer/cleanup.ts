// producer/cleanup: takes back what a generation holds in Postgres and Kafka, because it never came to life or is no longer wanted.
// May know: contract/generation, kafka, postgres, producer.

import { consumerGroup, type Generation, publicationName, slotName } from '../contract/generation.ts'
import { deleteGroup } from '../kafka/coordinator.ts'
import { writeGeneration } from '../kafka/generations.ts'
import { withClient } from '../postgres/connect.ts'
import { dropPublication } from '../postgres/publication.ts'
import { dropSlot } from '../postgres/slot.ts'
import { takeLock } from './lock.ts'
import { deleteGenerationTopics } from './topics.ts'
import type { Workspace } from './workspace.ts'

/** What it takes to remove a generation, also outside a producer. */
export type Place = Pick<Workspace, 'config' | 'url' | 'kafka' | 'log'>

/** Drops its slot, its publication and its topics; what is not there is no error. */
export async function removeGeneration({ config, url, kafka }: Place, number: number): Promise<void> {
  await withClient(url, async client => {
    await dropSlot(client, slotName(config.name, number))
    await dropPublication(client, publicationName(config.name, number))
  })
  await deleteGenerationTopics(kafka, config.name, number)
}

/**
 * Removes a generation that was live: its slot, publication, topics (dead letters among them) and consumer group.
 * @throws {MillraceError} PRODUCER_RUNNING while a producer streams it; GROUP_ACTIVE while somebody folds it
 */
export async function dropGeneration(place: Place, generation: Generation): Promise<void> {
  const { config, kafka, url } = place
  const lock = await takeLock(url, generation.slot)
  try {
    // First, so that nobody takes up what is half removed.
    await writeGeneration(kafka, config.name, { ...generation, state: 'dropped' })
    await removeGeneration(place, generation.number)
    await deleteGroup(kafka, consumerGroup(config.name, generation.number))
  } finally {
    await lock.release()
  }
}

/**
 * Gives up a load that was cut off; its number is not used again.
 * @throws {MillraceError} PRODUCER_RUNNING when it was not cut off, but is under way in another process
 */
export async function abandon(workspace: Workspace, generation: Generation): Promise<void> {
  const lock = await takeLock(workspace.url, generation.slot)
  try {
    await removeGeneration(workspace, generation.number)
    await writeAbandoned(workspace, generation)
  } finally {
    await lock.release()
  }
}

export async function writeAbandoned({ config, kafka, log }: Place, generation: Generation): Promise<void> {
  await writeGeneration(kafka, config.name, { ...generation, state: 'abandoned' })
  log.warn('a load was cut off; its slot and topics are removed', {
    generation: generation.number,
    slot: generation.slot,
  })
}

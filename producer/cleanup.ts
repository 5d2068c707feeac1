// producer/cleanup: takes back what a generation holds that never came to life.
// May know: contract/generation, postgres, producer.

import { type Generation, publicationName, slotName } from '../contract/generation.ts'
import { writeGeneration } from '../kafka/generations.ts'
import { withClient } from '../postgres/connect.ts'
import { dropPublication } from '../postgres/publication.ts'
import { dropSlot } from '../postgres/slot.ts'
import { takeLock } from './lock.ts'
import { deleteGenerationTopics } from './topics.ts'
import type { Workspace } from './workspace.ts'

/** Drops its slot, its publication and its topics; what is not there is no error. */
export async function removeGeneration({ config, url, kafka }: Workspace, number: number): Promise<void> {
  await withClient(url, async client => {
    await dropSlot(client, slotName(config.name, number))
    await dropPublication(client, publicationName(config.name, number))
  })
  await deleteGenerationTopics(kafka, config.name, number)
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

export async function writeAbandoned({ config, kafka, log }: Workspace, generation: Generation): Promise<void> {
  await writeGeneration(kafka, config.name, { ...generation, state: 'abandoned' })
  log.warn('a load was cut off; its slot and topics are removed', {
    generation: generation.number,
    slot: generation.slot,
  })
}

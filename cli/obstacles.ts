// cli/obstacles: asks all three servers, before anything is deleted, what forbids its deletion.

import { type ToDrop, whatKeepsInClickhouse } from '../clickhouse/droppable.ts'
import { consumerGroup, type Generation, generationTopics, publicationName } from '../contract/generation.ts'
import { whatKeepsInKafka } from '../kafka/group/permissions.ts'
import { withClient } from '../postgres/client/client.ts'
import { whatKeepsInPostgres } from '../postgres/preflight/rights.ts'
import { lockGeneration } from '../producer/generation/cleanup.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { PipelineConnections } from './connections.ts'

export interface Doomed extends ToDrop {
  readonly generations?: readonly Generation[]
  /** Consumer groups besides those of the generations. */
  readonly groups?: readonly string[]
}

/**
 * @throws {MillraceError} DROP_REFUSED, with all reasons at once and a remedy for each;
 *   PRODUCER_RUNNING, GROUP_ACTIVE, SLOT_ACTIVE while a process works with a generation
 */
export async function refuseIfKept(connections: PipelineConnections, doomed: Doomed): Promise<void> {
  const { config, clickhouse, kafka, url } = connections
  const { generations = [], groups = [] } = doomed
  const names = {
    slots: generations.map(({ slot }) => slot),
    publications: generations
      .filter(({ publication }) => publication === undefined)
      .map(({ number }) => publicationName(config.name, number)),
  }
  const inPostgres = generations.length > 0 ? await withClient(url, client => whatKeepsInPostgres(client, names)) : []
  const inKafka = await whatKeepsInKafka(kafka, {
    topics: generations.flatMap(generation => generationTopics(config.name, generation)),
    groups: [...groups, ...generations.map(({ number }) => consumerGroup(config.name, number))],
  })
  const reasons = [...inPostgres, ...inKafka, ...(await whatKeepsInClickhouse(clickhouse, doomed))]
  if (reasons.length > 0) {
    throw new MillraceError('DROP_REFUSED', {
      what: `nothing was destroyed, because a part cannot be destroyed:\n    ${reasons.join('\n    ')}`,
      where: `pipeline ${config.name}`,
      next: 'do what each line says, then run the command again',
    })
  }
  for (const generation of generations) await lockGeneration(connections, generation).then(lock => lock.release())
}

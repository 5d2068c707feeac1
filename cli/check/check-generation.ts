// cli/check/check-generation: the generation that a starting producer would use, and its obstacles.

import { randomUUID } from 'node:crypto'
import { type Generation, slotName } from '../../contract/generation.ts'
import { connectKafka } from '../../kafka/client/cluster.ts'
import { openFetcher } from '../../kafka/consumer/fetcher.ts'
import { deletionDisabled, mayTopicsBeDeleted } from '../../kafka/group/permissions.ts'
import { withClient } from '../../postgres/client/client.ts'
import type { Check, Finding } from '../../postgres/preflight/check.ts'
import { identify } from '../../postgres/replication/history.ts'
import { slotState } from '../../postgres/replication/slot.ts'
import { otherPublication } from '../../producer/generation/generation.ts'
import { planGeneration } from '../../producer/generation/plan.ts'
import { refuseRemains } from '../../producer/generation/remains.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { CommandContext } from '../command.ts'
import { knownGenerations } from '../connections.ts'
import type { Services } from '../servers.ts'

interface Addresses {
  readonly url: string
  /** Undefined when no Kafka is configured. */
  readonly kafka: Services['kafka'] | undefined
}

/**
 * The slot of that generation, or of generation 1 when it is unknown. The checks say whether the
 * generation can be continued or begun, and whether it could be dropped.
 */
export async function checkGeneration(
  context: CommandContext,
  { url, kafka }: Addresses,
): Promise<{ slot: string; checks: readonly Check[] }> {
  const about = {
    name: 'generation',
    why: 'its record in Kafka says whether the producer continues it, and which objects belong to it',
  }
  if (kafka === undefined) {
    const found = 'kafka.brokers is not set, so this is checked as the first generation'
    return {
      slot: newSlot(context, 1),
      checks: [{ ...about, state: 'warn', found, fix: 'set kafka.brokers and check again' }],
    }
  }
  try {
    const { slot, finding, deletion } = await lookAtRecords(context, { url, kafka })
    return { slot, checks: [{ ...about, ...finding }, ...(deletion ? [] : [undeletable])] }
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    const state = error.retriable ? 'unknown' : 'fail'
    return { slot: newSlot(context, 1), checks: [{ ...about, state, found: error.message, fix: error.next }] }
  }
}

function newSlot({ config: { name, source } }: CommandContext, number: number): string {
  return slotName(name, { number, id: randomUUID(), publication: source.publication })
}

const undeletable: Check = {
  name: 'topics',
  why: 'millrace reset, generations drop and forget delete topics, and do nothing where they cannot',
  state: 'warn',
  found: 'this Kafka deletes no topic',
  fix: deletionDisabled,
}

async function lookAtRecords(
  context: CommandContext,
  { url, kafka: options }: { url: string; kafka: Services['kafka'] },
): Promise<{ slot: string; finding: Finding; deletion: boolean }> {
  const { config, log, lifecycle } = context
  const kafka = await connectKafka({ ...options, clientId: `${config.name}-check`, log })
  lifecycle.opened('kafka', () => kafka.close())
  const fetcher = openFetcher(kafka)
  lifecycle.opened('fetcher', () => fetcher.close())
  const generations = await knownGenerations({ kafka, fetcher, config, signal: lifecycle.signal })
  const { plan } = planGeneration(generations, false)
  const deletion = await mayTopicsBeDeleted(kafka)
  const { source: identity } = await identify(url, lifecycle.signal)
  if (plan.kind === 'resume') {
    const { generation } = plan
    const { publication } = config.source
    const finding = await findingOf(generation, { url, identity, kafkaCluster: kafka.clusterId, publication })
    return { slot: generation.slot, finding, deletion }
  }
  const { number } = plan
  const slot = newSlot(context, number)
  try {
    await refuseRemains({ config, url, kafka }, { generations, identity })
    return { slot, finding: { state: 'pass', found: `generation ${number} would be loaded` }, deletion }
  } catch (error) {
    if (!(error instanceof MillraceError) || error.code !== 'GENERATION_UNKNOWN') throw error
    return { slot, finding: { state: 'fail', found: error.message, fix: error.next }, deletion }
  }
}

async function findingOf(
  generation: Generation,
  now: { url: string; identity: string; kafkaCluster: string; publication: string | undefined },
): Promise<Finding> {
  const { number, slot, source, kafkaCluster } = generation
  const reload = 'or load everything again: millrace producer --new-generation'
  if (source !== now.identity) {
    const found = `generation ${number} was loaded from ${source}, and this database is ${now.identity}`
    return { state: 'fail', found, fix: `correct source.url, ${reload}` }
  }
  if (kafkaCluster !== now.kafkaCluster) {
    const found = `generation ${number} has its topics in the Kafka cluster ${kafkaCluster}, and this one is ${now.kafkaCluster}`
    return { state: 'fail', found, fix: `correct kafka.brokers, ${reload}` }
  }
  const other = otherPublication(generation, now.publication)
  if (other !== undefined) {
    return { state: 'fail', found: `generation ${number}: ${other}`, fix: `change it back, ${reload}` }
  }
  const state = await withClient(now.url, client => slotState(client, slot))
  if (state === undefined) {
    const found = `generation ${number} is live, but its slot ${slot} is gone, and with it the changes since`
    return { state: 'fail', found, fix: 'load everything again: millrace producer --new-generation' }
  }
  return { state: 'pass', found: `generation ${number} is live, and a producer would continue it` }
}

// cli/check-generation: which generation a producer that starts now would work on, and what would keep it from that.
// May know: contract, kafka, postgres, producer, runtime, cli.

import type { Generation } from '../contract/generation.ts'
import { connectKafka } from '../kafka/cluster.ts'
import { openFetcher } from '../kafka/fetch.ts'
import { deletionDisabled, mayTopicsBeDeleted } from '../kafka/permissions.ts'
import type { Check, Finding } from '../postgres/check.ts'
import { withClient } from '../postgres/connect.ts'
import { identify } from '../postgres/history.ts'
import { slotState } from '../postgres/slot.ts'
import { planGeneration } from '../producer/plan.ts'
import { refuseRemains } from '../producer/remains.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { CommandContext } from './command.ts'
import type { Services } from './endpoints.ts'
import { knownGenerations } from './workspace.ts'

interface Place {
  readonly url: string
  /** Undefined where no Kafka is named. */
  readonly kafka: Services['kafka'] | undefined
}

/** The number, 1 where it cannot be found out, whether that generation can be gone on with, or begun, and whether it could be removed. */
export async function checkGeneration(
  context: CommandContext,
  { url, kafka }: Place,
): Promise<{ number: number; checks: readonly Check[] }> {
  const about = { name: 'generation', why: 'its records in Kafka say what is gone on with, and whose everything is' }
  if (kafka === undefined) {
    const found = 'kafka.brokers is not set, so this is taken for the first one'
    return { number: 1, checks: [{ ...about, state: 'warn', found, fix: 'set kafka.brokers and check again' }] }
  }
  try {
    const { number, finding, deletion } = await lookAtRecords(context, { url, kafka })
    return { number, checks: [{ ...about, ...finding }, ...(deletion ? [] : [undeletable])] }
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    const state = error.retriable ? 'unknown' : 'fail'
    return { number: 1, checks: [{ ...about, state, found: error.message, fix: error.next }] }
  }
}

const undeletable: Check = {
  name: 'topics',
  why: 'millrace reset, generations drop and forget delete topics, and do nothing where they cannot',
  state: 'warn',
  found: 'this Kafka deletes no topic',
  fix: deletionDisabled,
}

async function lookAtRecords(
  { config, log, life }: CommandContext,
  { url, kafka: options }: { url: string; kafka: Services['kafka'] },
): Promise<{ number: number; finding: Finding; deletion: boolean }> {
  const kafka = await connectKafka({ ...options, clientId: `${config.name}-check`, log })
  life.opened('kafka', () => kafka.close())
  const fetcher = openFetcher(kafka)
  life.opened('fetcher', () => fetcher.close())
  const generations = await knownGenerations({ kafka, fetcher, config, signal: life.signal })
  const { plan } = planGeneration(generations, false)
  const deletion = await mayTopicsBeDeleted(kafka)
  const { source: identity } = await identify(url, life.signal)
  if (plan.kind === 'resume') {
    const { generation } = plan
    const finding = await findingOf(generation, { url, identity, kafkaCluster: kafka.clusterId })
    return { number: generation.number, finding, deletion }
  }
  const { number } = plan
  try {
    await refuseRemains({ config, url, kafka }, { generations, identity })
    return { number, finding: { state: 'pass', found: `generation ${number} would be loaded` }, deletion }
  } catch (error) {
    if (!(error instanceof MillraceError) || error.code !== 'GENERATION_UNKNOWN') throw error
    return { number, finding: { state: 'fail', found: error.message, fix: error.next }, deletion }
  }
}

async function findingOf(
  { number, slot, source, kafkaCluster }: Generation,
  now: { url: string; identity: string; kafkaCluster: string },
): Promise<Finding> {
  const anew = 'or load everything anew: millrace producer --new-generation'
  if (source !== now.identity) {
    const found = `generation ${number} was loaded from ${source}, and this database is ${now.identity}`
    return { state: 'fail', found, fix: `correct source.url, ${anew}` }
  }
  if (kafkaCluster !== now.kafkaCluster) {
    const found = `generation ${number} has its topics in the Kafka cluster ${kafkaCluster}, and this one is ${now.kafkaCluster}`
    return { state: 'fail', found, fix: `correct kafka.brokers, ${anew}` }
  }
  const state = await withClient(now.url, client => slotState(client, slot))
  if (state === undefined) {
    const found = `generation ${number} is live, but its slot ${slot} is gone, and with it the changes since`
    return { state: 'fail', found, fix: `load everything anew: millrace producer --new-generation` }
  }
  return { state: 'pass', found: `generation ${number} is live and would be gone on with` }
}

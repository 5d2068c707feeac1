// stack/kafka/config: the settings of the embedded Kafka broker, which is also the KRaft
// controller.

import type { Ports } from '../component.ts'

/** A row of Postgres holds at most 1 GB; topics set their own limit below this. */
const largestMessageBytes = 1 << 30
const largestRequestBytes = 2 ** 31 - 1

/**
 * server.properties for a broker.
 * @param logDirectory relative to the working directory
 * @see https://kafka.apache.org/41/configuration/broker-configs/
 */
export function kafkaConfig(logDirectory: string, ports: Ports): string {
  const settings = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${ports.controller}`,
    listeners: `PLAINTEXT://127.0.0.1:${ports.client},CONTROLLER://127.0.0.1:${ports.controller}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${ports.client}`,
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
    'log.dirs': logDirectory,
    'auto.create.topics.enable': 'false',
    'offsets.topic.num.partitions': '8',
    'offsets.topic.replication.factor': '1',
    // A year: committed offsets are kept for this time after the last member of a group has left.
    'offsets.retention.minutes': '525600',
    'transaction.state.log.num.partitions': '4',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    // A group of one member need not wait for other members.
    'group.initial.rebalance.delay.ms': '0',
    // Every insert waits for a commit of offsets, which the coordinator would delay by 5 ms.
    'group.coordinator.append.linger.ms': '0',
    // After kill -9 the controller refuses the new broker until the old session has expired.
    'broker.session.timeout.ms': '3000',
    'broker.heartbeat.interval.ms': '500',
    'message.max.bytes': String(largestMessageBytes),
    'replica.fetch.max.bytes': String(largestMessageBytes),
    'socket.request.max.bytes': String(largestRequestBytes),
    'num.network.threads': '2',
    'num.io.threads': '4',
    'num.recovery.threads.per.data.dir': '2',
    'background.threads': '2',
    // Delete the files of deleted topics immediately, not after a minute.
    'log.segment.delete.delay.ms': '1000',
    // The default reserves 128 MB of heap for the log cleaner's index of keys.
    'log.cleaner.dedupe.buffer.size': String(16 << 20),
  }
  return Object.entries(settings)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}

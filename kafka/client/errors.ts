// kafka/client/errors: failed requests as MillraceErrors, and repeating requests.

import { MillraceError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import { retry } from '../../runtime/retry.ts'
import { type Backoff, orAborted } from '../../runtime/wait.ts'
import { answeredError, describeAnswer, isRetriable } from './broker.ts'

/** How long to wait between attempts at a request. */
export const requestBackoff: Backoff = { firstMs: 50, longestMs: 2_000 }

export interface RetryingOptions {
  /**
   * What the request does, as a phrase for the log and the error: "find the coordinator of group
   * g".
   */
  readonly doing: string
  readonly connection: { readonly log: Log; readonly closed: AbortSignal }
  /**
   * Ends the attempts at once, also one that waits for a response. Closing the connection does the
   * same.
   */
  readonly signal?: AbortSignal | undefined
  /**
   * Give up after about this time. Without it, only the signal and closing the connection end the
   * attempts.
   */
  readonly timeoutMs?: number
}

/**
 * Repeats a request while its error is retriable.
 * @throws {MillraceError} the first other error, or the last error at the time limit; the signal's
 *   reason
 */
export function retrying<T>(request: () => Promise<T>, options: RetryingOptions): Promise<T> {
  const { doing, connection, timeoutMs } = options
  const signal = options.signal ? AbortSignal.any([options.signal, connection.closed]) : connection.closed
  const attempt = async () => {
    try {
      return await orAborted(request(), signal)
    } catch (error) {
      signal.throwIfAborted()
      throw kafkaError(error, doing)
    }
  }
  const limit = timeoutMs === undefined ? {} : { limitMs: timeoutMs }
  return retry(attempt, {
    what: doing,
    log: logQuietlyAtFirst(connection.log),
    signal,
    ...requestBackoff,
    ...limit,
  })
}

/**
 * Log level of the n-th failed attempt. After every start, the first few attempts may fail until
 * leaders and coordinators are elected.
 */
export function quietAtFirst(attempt: number): 'debug' | 'warn' {
  const usual = 3
  return attempt > usual ? 'warn' : 'debug'
}

function logQuietlyAtFirst(log: Log): Log {
  return { ...log, warn: (message, fields) => log[quietAtFirst(Number(fields?.count))](message, fields) }
}

/** The error's name in the protocol, or its message. */
export function describe(error: unknown): string {
  return describeAnswer(error) ?? (error instanceof Error ? error.message : String(error))
}

/** Wraps the error of a request. A MillraceError is returned unchanged. */
export function kafkaError(error: unknown, doing: string, where?: string): MillraceError {
  if (error instanceof MillraceError) return error
  const parts = { what: `cannot ${doing}: ${describe(error)}`, cause: error, ...(where === undefined ? {} : { where }) }
  const answered = answeredError(error)
  if (answered?.includes('AUTHORIZATION') || answered?.includes('SASL') || isLoginFailure(error))
    return new MillraceError('KAFKA_DENIED', {
      ...parts,
      next: 'check kafka.sasl in the configuration and the permissions (ACLs) of that user',
    })
  if (isRetriable(error))
    return new MillraceError('KAFKA_UNREACHABLE', {
      ...parts,
      next: 'wait; if it stays so, check that the brokers run, and kafka.brokers and kafka.tls in the configuration',
    })
  return new MillraceError('KAFKA_REFUSED', {
    ...parts,
    next: `look the error up at https://kafka.apache.org/protocol.html#protocol_error_codes and in the broker's log`,
  })
}

function isLoginFailure(error: unknown): boolean {
  return error instanceof Error && error.name === 'KafkaJSSASLAuthenticationError'
}

export function topicMissing(topic: string): MillraceError {
  return new MillraceError('TOPIC_MISSING', {
    what: `topic ${topic} does not exist`,
    where: topic,
    next: 'restore the topic from a backup, or start a new generation: millrace producer --new-generation',
  })
}

export function partitionsChanged(topic: string, expected: number, found: number): MillraceError {
  return new MillraceError('TOPIC_PARTITIONS_CHANGED', {
    what: `topic ${topic} has ${found} partitions, not ${expected}`,
    where: topic,
    next: 'rows of one key would be in two partitions; start a new generation: millrace producer --new-generation',
  })
}

/** A broker on another machine, named by the cluster, that is reached without TLS. */
export function exposed({ host, port }: { readonly host: string; readonly port: number }): MillraceError {
  return new MillraceError('CONFIG_INVALID', {
    what: `all data would be sent unencrypted to ${host}, which the cluster names as a broker (advertised.listeners)`,
    where: `${host}:${port}`,
    next: 'set kafka.tls: true, or allow it where the network is trusted: kafka.insecure: true',
  })
}

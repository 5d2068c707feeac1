// kafka/client/errors: what goes wrong between us and the brokers, as the errors a user meets, and how it is tried again.

import { MillraceError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import { retry } from '../../runtime/retry.ts'
import { type Backoff, orAborted } from '../../runtime/wait.ts'
import { answeredError, describeAnswer, isRetriable } from './broker.ts'

/** How long to wait between attempts at a request. */
export const requestBackoff: Backoff = { firstMs: 50, longestMs: 2_000 }

export interface RetryingOptions {
  /** What is being done, for the log and the error: "find the coordinator of group g". */
  readonly doing: string
  readonly connection: { readonly log: Log; readonly closed: AbortSignal }
  /** Ends the attempts at once, also one that waits for an answer; so does closing the connection. */
  readonly signal?: AbortSignal | undefined
  /** Give up after about so long; without it, only the signal and the end of the connection end the attempts. */
  readonly timeoutMs?: number
}

/**
 * Repeats a request while its failure is one that passes by itself.
 * @throws {MillraceError} when it does not pass, or not in time; the signal's reason once it has aborted
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
    log: patient(connection.log),
    signal,
    ...requestBackoff,
    ...limit,
  })
}

/** How loud the n-th failed attempt is: leaders and coordinators settle within a few after every start. */
export function quietAtFirst(attempt: number): 'debug' | 'warn' {
  const usual = 3
  return attempt > usual ? 'warn' : 'debug'
}

function patient(log: Log): Log {
  return { ...log, warn: (message, fields) => log[quietAtFirst(Number(fields?.count))](message, fields) }
}

/** The error's name in the protocol, or its message. */
export function describe(error: unknown): string {
  return describeAnswer(error) ?? (error instanceof Error ? error.message : String(error))
}

/** Wraps whatever a request failed with; a MillraceError passes through. */
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

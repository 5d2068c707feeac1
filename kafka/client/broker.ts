// kafka/client/broker: one connection to one broker, over which both kafkajs' requests and our own are sent.

import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { TlsFiles } from '../../runtime/config/tls-files.ts'
import type { Log } from '../../runtime/log.ts'
import { WireWriter } from '../protocol/wire.ts'
import {
  type Broker,
  type KafkajsConnection,
  type KafkajsLine,
  kafkajs,
  type MetadataResponse,
  type SocketRequest,
} from './kafkajs-internals.ts'

export interface SaslOptions {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
  readonly username: string
  readonly password: string
}

export interface LinkOptions {
  readonly host: string
  readonly port: number
  readonly clientId: string
  /** PEM texts; without `ca`, and for `true`, Node's certificate authorities. The certificate is always verified. */
  readonly tls: boolean | TlsFiles
  readonly sasl?: SaslOptions
  readonly log: Log
  /** Called before anything is sent, so that a link that is still being opened can be ended too. */
  readonly onSocket: (socket: Socket) => void
}

/** A request that we encode ourselves; its body is written as it stands, without being copied together. */
export interface RawRequest {
  readonly apiKey: number
  readonly apiVersion: number
  readonly apiName: string
  readonly body: readonly Buffer[]
  readonly timeoutMs?: number
}

/** Answers that take longer break the connection, so that a silent peer is noticed. */
const requestTimeoutMs = 20_000
const connectTimeoutMs = 5_000
const keepAliveMs = 10_000

/**
 * A connection that breaks once and for all: kafkajs' own keeps half of a lost answer and the listeners of its old socket
 * when it connects again, so after a failure a new link takes its place.
 */
export class BrokerLink {
  readonly #broker: Broker
  readonly #connection: KafkajsConnection
  #broken = false

  private constructor(broker: Broker, connection: KafkajsConnection) {
    this.#broker = broker
    this.#connection = connection
  }

  /** Connects, learns the broker's API versions and authenticates. @throws kafkajs' errors, see failure.ts */
  static async open(options: LinkOptions): Promise<BrokerLink> {
    const logger = kafkajs.createLogger({ level: kafkajs.warnLevel, logCreator: () => line => chat(options.log, line) })
    const pool = new kafkajs.ConnectionPool({
      host: options.host,
      port: options.port,
      clientId: options.clientId,
      ssl: options.tls,
      sasl: options.sasl === undefined ? null : { ...options.sasl },
      socketFactory: (request: SocketRequest) => {
        const socket = openSocket(request)
        options.onSocket(socket)
        return socket
      },
      connectionTimeout: connectTimeoutMs,
      requestTimeout: requestTimeoutMs,
      enforceRequestTimeout: true,
      logger,
    })
    const broker = new kafkajs.Broker({ connectionPool: pool, logger, allowAutoTopicCreation: false })
    const link = new BrokerLink(broker, pool.pool[0]!)
    await link.call(() => broker.connect())
    return link
  }

  get broken(): boolean {
    return this.#broken || !this.#connection.isConnected()
  }

  /** The highest version of an API that the broker speaks, or −1. */
  maxVersion(apiKey: number): number {
    return this.#broker.versions[apiKey]?.maxVersion ?? -1
  }

  /** One of kafkajs' own requests. */
  async call<T>(request: (broker: Broker) => Promise<T>): Promise<T> {
    try {
      return await request(this.#broker)
    } catch (error) {
      if (answeredError(error) === undefined) this.destroy()
      throw error
    }
  }

  /** A request of ours; gives the body of the response. */
  async send(request: RawRequest): Promise<Buffer> {
    return this.call(async () => {
      const connection = this.#connection
      if (this.broken) throw new Error('the connection to the broker is closed')
      if (!connection.isAuthenticated()) await connection.authenticate()
      return new Promise<Buffer>((resolve, reject) => {
        const { apiKey, apiVersion, apiName } = request
        const correlationId = connection.nextCorrelationId()
        connection.requestQueue.push({
          entry: { apiKey, apiVersion, apiName, correlationId, resolve: ({ payload }) => resolve(payload), reject },
          expectResponse: true,
          requestTimeout: request.timeoutMs ?? requestTimeoutMs,
          sendRequest: () => writeFrame(connection.socket, request, correlationId, connection.clientId),
        })
      })
    })
  }

  /** Topics, their partitions and leaders, errors included in place of thrown. */
  metadata(topics: readonly string[]): Promise<MetadataResponse> {
    return this.call(async () => {
      const { request, response } = kafkajs.metadataRequest({ topics, allowAutoTopicCreation: false })
      return this.#connection.send<MetadataResponse>({
        request,
        response: { decode: response.decode, parse: async decoded => decoded },
      })
    })
  }

  /** Closes at once; whatever waits for an answer is rejected. */
  destroy(): void {
    if (this.#broken) return
    this.#broken = true
    this.#connection.requestQueue.rejectAll(new Error('the connection to the broker was closed'))
    this.#connection.requestQueue.destroy()
    this.#connection.socket?.destroy()
  }
}

/** What kafkajs throws, as far as it is looked at. */
interface KafkajsError extends Error {
  readonly type?: string
  readonly retriable?: boolean
  readonly errors?: readonly KafkajsError[]
}

/** The protocol's name of an error that a broker answered, `UNKNOWN_MEMBER_ID`, or the number of one without a name here. */
export function describeAnswer(error: unknown): string | undefined {
  const answered = answeredError(error)
  return answered === unlistedCode ? (error as Error).message : answered
}

/** The protocol's name of an error that a broker answered, `UNKNOWN_MEMBER_ID`; undefined when there was no answer. */
export function answeredError(error: unknown): string | undefined {
  const { type, errors } = error as KafkajsError
  return type ?? errors?.[0]?.type
}

/** What kafkajs calls a code that is younger than its own list. */
const unlistedCode = 'KAFKAJS_UNKNOWN_ERROR_CODE'
/** Answers that say nothing of how long they last: whatever went wrong inside the broker (−1), and codes that kafkajs does not list. */
const unspecific: ReadonlySet<string | undefined> = new Set(['UNKNOWN', unlistedCode])

/** Whether the same request may succeed later without anybody's help. */
export function isRetriable(error: unknown): boolean {
  if (unspecific.has(answeredError(error))) return true
  const { retriable, errors } = error as KafkajsError
  return errors?.[0]?.retriable ?? retriable ?? true
}

/** An error like those of `call` from the code in a response of ours. @see https://kafka.apache.org/protocol.html#protocol_error_codes */
export function errorFromCode(code: number): Error {
  return kafkajs.createErrorFromCode(code)
}

function writeFrame(socket: Socket, request: RawRequest, correlationId: number, clientId: string): void {
  const header = new WireWriter().int16(request.apiKey).int16(request.apiVersion).int32(correlationId).string(clientId)
  const size = request.body.reduce((bytes, part) => bytes + part.length, header.length)
  socket.cork()
  socket.write(new WireWriter().int32(size).finish())
  socket.write(header.finish())
  for (const part of request.body) socket.write(part)
  socket.uncork()
}

/** Node coalesces small writes by default (Nagle), which costs latency when a request is written in parts. */
function openSocket({ host, port, ssl, onConnect }: SocketRequest): Socket {
  const servername = isIP(host) ? {} : { servername: host }
  const socket = ssl
    ? connectTls({ host, port, ...servername, ...(ssl === true ? {} : ssl) }, onConnect)
    : connect({ host, port }, onConnect)
  return socket.setNoDelay(true).setKeepAlive(true, keepAliveMs)
}

/** Every failure that kafkajs reports reaches us as a rejection as well, so its lines are only detail. */
function chat(log: Log, { namespace, log: line }: KafkajsLine): void {
  log.debug(`kafkajs ${namespace}: ${line.message}`, { broker: line.broker })
}

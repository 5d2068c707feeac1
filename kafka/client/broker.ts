// kafka/client/broker: one connection to one broker, for the requests of kafkajs and for our own.

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
  /**
   * PEM texts. Without `ca`, and for `true`, Node's certificate authorities apply. Certificates are
   * always verified.
   */
  readonly tls: boolean | TlsFiles
  readonly sasl?: SaslOptions
  readonly log: Log
  /**
   * Called before anything is sent, so that the caller can close a connection that is still being
   * opened.
   */
  readonly onSocket: (socket: Socket) => void
}

/** A request whose body is encoded here. The parts of the body are sent without joining them. */
export interface RawRequest {
  readonly apiKey: number
  readonly apiVersion: number
  readonly apiName: string
  readonly body: readonly Buffer[]
  readonly timeoutMs?: number
}

/** A response that takes longer breaks the connection, so that a silent peer is noticed. */
const requestTimeoutMs = 20_000
const connectTimeoutMs = 5_000
const keepAliveMs = 10_000

/**
 * A connection that is not reused after a failure. When kafkajs reconnects its own, it keeps half
 * of a lost response and the listeners of the old socket. So the caller opens a new one instead.
 */
export class BrokerLink {
  readonly #broker: Broker
  readonly #connection: KafkajsConnection
  #broken = false

  private constructor(broker: Broker, connection: KafkajsConnection) {
    this.#broker = broker
    this.#connection = connection
  }

  /**
   * Connects, learns the broker's API versions and authenticates.
   * @throws kafkajs' errors, see errors.ts
   */
  static async open(options: LinkOptions): Promise<BrokerLink> {
    const logger = kafkajs.createLogger({
      level: kafkajs.warnLevel,
      logCreator: () => line => forwardLog(options.log, line),
    })
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

  /** The highest version of an API that the broker supports, or −1. */
  maxVersion(apiKey: number): number {
    return this.#broker.versions[apiKey]?.maxVersion ?? -1
  }

  /** Sends one of kafkajs' own requests. */
  async call<T>(request: (broker: Broker) => Promise<T>): Promise<T> {
    try {
      return await request(this.#broker)
    } catch (error) {
      if (answeredError(error) === undefined) this.destroy()
      throw error
    }
  }

  /** Sends a request encoded here. @returns the body of the response */
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

  /** Topics, their partitions and leaders. Errors of single topics are part of the result. */
  metadata(topics: readonly string[]): Promise<MetadataResponse> {
    return this.call(async () => {
      const { request, response } = kafkajs.metadataRequest({ topics, allowAutoTopicCreation: false })
      return this.#connection.send<MetadataResponse>({
        request,
        response: { decode: response.decode, parse: async decoded => decoded },
      })
    })
  }

  /** Closes at once and rejects the requests without a response. */
  destroy(): void {
    if (this.#broken) return
    this.#broken = true
    this.#connection.requestQueue.rejectAll(new Error('the connection to the broker was closed'))
    this.#connection.requestQueue.destroy()
    this.#connection.socket?.destroy()
  }
}

/** The fields of kafkajs' errors that are read here. */
interface KafkajsError extends Error {
  readonly type?: string
  readonly retriable?: boolean
  readonly errors?: readonly KafkajsError[]
}

/**
 * The protocol's name of an error in a broker's response, such as `UNKNOWN_MEMBER_ID`, or its
 * number if kafkajs has no name for it.
 */
export function describeAnswer(error: unknown): string | undefined {
  const answered = answeredError(error)
  return answered === unlistedCode ? (error as Error).message : answered
}

/**
 * The protocol's name of an error in a broker's response, such as `UNKNOWN_MEMBER_ID`; undefined
 * without a response.
 */
export function answeredError(error: unknown): string | undefined {
  const { type, errors } = error as KafkajsError
  return type ?? errors?.[0]?.type
}

/** The name that kafkajs gives to a code missing from its list. */
const unlistedCode = 'KAFKAJS_UNKNOWN_ERROR_CODE'
/** Errors of unknown duration: UNKNOWN_SERVER_ERROR (−1), and codes that kafkajs does not list. */
const unspecific: ReadonlySet<string | undefined> = new Set(['UNKNOWN', unlistedCode])

/** Whether the same request may succeed later without an operator's help. */
export function isRetriable(error: unknown): boolean {
  if (unspecific.has(answeredError(error))) return true
  const { retriable, errors } = error as KafkajsError
  return errors?.[0]?.retriable ?? retriable ?? true
}

/**
 * An error as `call` throws it, from an error code in a response that is decoded here.
 * @see https://kafka.apache.org/protocol.html#protocol_error_codes
 */
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

/** Nagle's algorithm, on by default, delays a request that is written in parts. */
function openSocket({ host, port, ssl, onConnect }: SocketRequest): Socket {
  const servername = isIP(host) ? {} : { servername: host }
  const socket = ssl
    ? connectTls({ host, port, ...servername, ...(ssl === true ? {} : ssl) }, onConnect)
    : connect({ host, port }, onConnect)
  return socket.setNoDelay(true).setKeepAlive(true, keepAliveMs)
}

/**
 * Every failure that kafkajs logs also rejects a promise, so its log lines are debug output only.
 */
function forwardLog(log: Log, { namespace, log: line }: KafkajsLine): void {
  log.debug(`kafkajs ${namespace}: ${line.message}`, { broker: line.broker })
}

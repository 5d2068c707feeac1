// test/support/faults/kafka-proxy: a TCP proxy in front of a broker that reads whole frames and can
// drop a response.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/**
 * `lose`: the broker does the work, but the client never gets this response, and its connection
 * breaks.
 */
type Verdict = 'pass' | 'lose'

/** A request and its response, each with its four bytes of length. */
export interface Exchange {
  readonly request: Buffer
  readonly response: Buffer
}

export interface KafkaProxy {
  /**
   * The broker as `host:port`. The proxy puts its own address in place of the broker's in
   * responses.
   */
  readonly address: string
  /**
   * Decides about every response by the API key of its request (0 is Produce). Default: all pass.
   */
  decide: (apiKey: number, exchange: Exchange) => Verdict
  /** Number of responses lost so far. */
  readonly lost: () => number
  /** Breaks all open connections. */
  cutAll(): void
  close(): Promise<void>
}

export async function startKafkaProxy(broker: string): Promise<KafkaProxy> {
  const [host, port] = broker.split(':') as [string, string]
  const sockets = new Set<Socket>()
  let lost = 0
  const server = createServer(client => {
    const upstream = connect(Number(port), host)
    const asked = new Map<number, Buffer>()
    const requests = new Frames()
    const responses = new Frames()
    const cut = () => {
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', cut)
      socket.on('close', () => {
        sockets.delete(socket)
        cut()
      })
    }
    client.on('data', chunk => {
      for (const frame of requests.take(chunk)) {
        asked.set(frame.readInt32BE(8), frame)
        upstream.write(frame)
      }
    })
    upstream.on('data', chunk => {
      for (const frame of responses.take(chunk)) {
        const { apiKey, ...exchange } = answered(asked, frame)
        if (proxy.decide(apiKey, exchange) === 'lose') {
          lost += 1
          cut()
          return
        }
        if (apiKey === metadata || apiKey === findCoordinator) replacePort(frame, host, Number(port), proxyPort)
        client.write(frame)
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxyPort = (server.address() as AddressInfo).port
  const cutAll = () => {
    for (const socket of sockets) socket.destroy()
  }
  const proxy: KafkaProxy = {
    address: `127.0.0.1:${proxyPort}`,
    decide: () => 'pass',
    lost: () => lost,
    cutAll,
    async close() {
      const closed = once(server, 'close')
      server.close()
      cutAll()
      await closed
    },
  }
  return proxy
}

const metadata = 3
const findCoordinator = 10

/** Removes and returns the request that the response answers. */
function answered(asked: Map<number, Buffer>, response: Buffer): Exchange & { readonly apiKey: number } {
  const correlationId = response.readInt32BE(4)
  const request = asked.get(correlationId)!
  asked.delete(correlationId)
  return { apiKey: request.readInt16BE(4), request, response }
}

/** Cuts a stream of bytes into whole frames. A frame includes its four bytes of length. */
class Frames {
  #chunks: Buffer[] = []
  #bytes = 0
  #needed = 4

  take(chunk: Buffer): Buffer[] {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    const frames: Buffer[] = []
    while (this.#bytes >= this.#needed) {
      const rest = Buffer.concat(this.#chunks)
      const length = 4 + rest.readInt32BE(0)
      const isWhole = rest.length >= length
      if (isWhole) frames.push(rest.subarray(0, length))
      this.#chunks = [isWhole ? rest.subarray(length) : rest]
      this.#bytes = this.#chunks[0]!.length
      this.#needed = isWhole ? 4 : length
    }
    return frames
  }
}

/** On the wire, a broker's address is its host as a string, then its port in four bytes. */
function replacePort(frame: Buffer, host: string, port: number, replacement: number): void {
  const address = Buffer.alloc(2 + host.length + 4)
  address.writeInt16BE(host.length, 0)
  address.write(host, 2)
  address.writeInt32BE(port, 2 + host.length)
  const found = frame.indexOf(address)
  if (found >= 0) frame.writeInt32BE(replacement, found + 2 + host.length)
}

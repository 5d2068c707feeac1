// test/support/faults/tcp-proxy: a TCP proxy that can lose its server as a network does.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface TcpProxy {
  readonly port: number
  /** Target of connections that are made from now on. */
  target: number
  /** Changes the first bytes of the client before the server gets them. */
  rewriteFirst: (chunk: Buffer) => Buffer
  /** All bytes that clients have sent, as text. */
  readonly sent: () => string
  /** Number of open connections that still transfer data. */
  readonly open: () => number
  /**
   * The host behind the open connections disappears silently. The clients' ends stay open and
   * transfer nothing; the server's sessions are over. New connections work, as they do when another
   * host has taken over the address.
   */
  freeze(): void
  /** Freezes once a client has sent this text; resolves at that moment. */
  freezeAt(text: string): Promise<void>
  close(): Promise<void>
}

interface Pair {
  readonly client: Socket
  readonly upstream: Socket
  frozen: boolean
}

/** @param target port on 127.0.0.1 */
export async function startTcpProxy(target: number): Promise<TcpProxy> {
  const pairs = new Set<Pair>()
  let sent = ''
  let awaited: { readonly text: string; readonly reached: () => void } | undefined
  const freeze = () => {
    for (const pair of pairs) {
      pair.frozen = true
      pair.upstream.destroy()
    }
  }
  const server = createServer({ allowHalfOpen: true }, client => {
    const upstream = connect({ port: proxy.target, host: '127.0.0.1', allowHalfOpen: true })
    const pair: Pair = { client, upstream, frozen: false }
    let isFirst = true
    pairs.add(pair)
    const forget = () => {
      if (client.destroyed && upstream.destroyed) pairs.delete(pair)
    }
    client.on('close', forget)
    upstream.on('close', forget)
    relay(pair, upstream, client)
    relay(pair, client, upstream, chunk => {
      const passed = isFirst ? proxy.rewriteFirst(chunk) : chunk
      isFirst = false
      sent += passed.toString('latin1')
      if (awaited && sent.includes(awaited.text)) {
        awaited.reached()
        awaited = undefined
        freeze()
      }
      return passed
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy: TcpProxy = {
    port: (server.address() as AddressInfo).port,
    target,
    rewriteFirst: chunk => chunk,
    sent: () => sent,
    open: () => [...pairs].filter(({ frozen }) => !frozen).length,
    freeze,
    freezeAt(text) {
      sent = ''
      return new Promise(reached => {
        awaited = { text, reached }
      })
    },
    async close() {
      const closed = once(server, 'close')
      server.close()
      for (const { client, upstream } of pairs) {
        client.destroy()
        upstream.destroy()
      }
      await closed
    },
  }
  return proxy
}

/** A host that is gone does not report either that an end has closed. */
function relay(pair: Pair, from: Socket, to: Socket, pass = (chunk: Buffer): Buffer => chunk): void {
  from.on('data', chunk => {
    if (!pair.frozen) to.write(pass(chunk))
  })
  from.on('end', () => {
    if (!pair.frozen) to.end()
  })
  from.on('close', () => {
    if (!pair.frozen) to.destroy()
  })
  from.on('error', () => {})
}

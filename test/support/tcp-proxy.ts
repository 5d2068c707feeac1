// test/support/tcp-proxy: stands between a client and a server, byte by byte, and freezes or moves as a network does.
// May know: node only.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface TcpProxy {
  readonly port: number
  /** Where connections go that are made from now on. */
  target: number
  /** What the client sends first, as the server is to get it. */
  rewriteFirst: (chunk: Buffer) => Buffer
  /** Everything the clients have sent, as text. */
  readonly sent: () => string
  /** Connections that are open now and are not frozen. */
  readonly open: () => number
  /** The connections that are open now carry nothing any more, in either direction, and stay open; new ones work. */
  freeze(): void
  /** From now on, connections are taken and carry nothing, until `thaw`. */
  freezeAll(): void
  /** New connections work again. Frozen ones stay as they are. */
  thaw(): void
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
  let takesNew = true
  const server = createServer({ allowHalfOpen: true }, client => {
    const upstream = connect({ port: proxy.target, host: '127.0.0.1', allowHalfOpen: true })
    const pair: Pair = { client, upstream, frozen: !takesNew }
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
      return passed
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const freeze = () => {
    for (const pair of pairs) pair.frozen = true
  }
  const proxy: TcpProxy = {
    port: (server.address() as AddressInfo).port,
    target,
    rewriteFirst: chunk => chunk,
    sent: () => sent,
    open: () => [...pairs].filter(({ frozen }) => !frozen).length,
    freeze,
    freezeAll() {
      takesNew = false
      freeze()
    },
    thaw() {
      takesNew = true
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

/** A network that is gone does not pass on that one end has closed either. */
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

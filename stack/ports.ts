// stack/ports: choosing loopback ports that stay free.

import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/**
 * Below the ephemeral range (from 32768 on Linux, 49152 on macOS). The kernel gives ephemeral ports
 * to outgoing connections, and could give away the port of a stopped server.
 */
const lowest = 20_000
const highest = 32_000

/** Picks `count` different ports of 127.0.0.1 that nothing listens on. */
export async function pickPorts(count: number): Promise<number[]> {
  const picked = new Set<number>()
  while (picked.size < count) {
    const port = randomInt(lowest, highest)
    if (!picked.has(port) && (await isFree(port))) picked.add(port)
  }
  return [...picked]
}

export function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)))
  })
}

// kafka/client/broker-connections: one user's connections to the brokers of a cluster.

import type { BrokerLink } from './broker.ts'

/**
 * One user's connections: at most one to each broker, opened when first needed and reopened after a
 * failure.
 */
export class BrokerConnections {
  readonly #open: (nodeId: number) => Promise<BrokerLink>
  readonly #onClose: () => void
  readonly #links = new Map<number, Promise<BrokerLink>>()
  #closed = false

  constructor(open: (nodeId: number) => Promise<BrokerLink>, onClose: () => void) {
    this.#open = open
    this.#onClose = onClose
  }

  async to(nodeId: number): Promise<BrokerLink> {
    const opened = this.#links.get(nodeId)
    if (opened !== undefined) {
      const link = await opened.catch(() => undefined)
      if (link && !link.broken) return link
      if (this.#links.get(nodeId) !== opened) return this.to(nodeId)
    }
    const opening = this.#openLink(nodeId)
    this.#links.set(nodeId, opening)
    return opening
  }

  close(): void {
    this.#closed = true
    this.#onClose()
    for (const opening of this.#links.values())
      opening.then(
        link => link.destroy(),
        () => undefined,
      )
    this.#links.clear()
  }

  async #openLink(nodeId: number): Promise<BrokerLink> {
    const link = await this.#open(nodeId)
    if (!this.#closed) return link
    link.destroy()
    throw new Error('the connection to the cluster was closed')
  }
}

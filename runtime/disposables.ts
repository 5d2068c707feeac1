// runtime/disposables: resources that are closed in the reverse order of opening.

interface Opened {
  readonly name: string
  readonly close: () => unknown
}

/**
 * As the standard `AsyncDisposableStack`, which Node 20 lacks, with names for what is still open.
 */
export class Disposables {
  readonly #open: Opened[] = []

  /** Registers how to close a resource that has just been opened. */
  opened(name: string, close: () => unknown): void {
    this.#open.push({ name, close })
  }

  /** Names of the resources that are open or being closed, in the order of opening. */
  get names(): string[] {
    return this.#open.map(({ name }) => name)
  }

  /**
   * Starts closing all resources at once, the last opened first, and waits for all.
   * @throws the first error, after that
   */
  async closeTogether(): Promise<void> {
    const outcomes = await Promise.allSettled(this.#open.reverse().map(async ({ close }) => close()))
    this.#open.length = 0
    const failed = outcomes.find(outcome => outcome.status === 'rejected')
    if (failed) throw failed.reason
  }

  /**
   * Closes one resource after the other, the last opened first.
   * @throws the first error, after all are closed
   */
  async close(): Promise<void> {
    const errors: unknown[] = []
    for (let last = this.#open.at(-1); last !== undefined; last = this.#open.at(-1)) {
      try {
        await last.close()
      } catch (error) {
        errors.push(error)
      }
      this.#open.pop()
    }
    if (errors.length > 0) throw errors[0]
  }
}

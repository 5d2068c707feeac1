// runtime/disposables: what has been opened, closed in reverse order.

interface Opened {
  readonly name: string
  readonly close: () => unknown
}

export class Disposables {
  readonly #open: Opened[] = []

  /** Says how to close what has just been opened. */
  opened(name: string, close: () => unknown): void {
    this.#open.push({ name, close })
  }

  /** What is still open, or just being closed; the first opened first. */
  get names(): string[] {
    return this.#open.map(({ name }) => name)
  }

  /** Begins to close everything, the last opened first, and waits for all together. @throws the first error */
  async closeTogether(): Promise<void> {
    await Promise.all(this.#open.reverse().map(async ({ close }) => close()))
    this.#open.length = 0
  }

  /** Closes the last opened first and goes on past errors. @throws the first of them, once all is closed */
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

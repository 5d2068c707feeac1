// kafka/producer/checkpoints: up to which mark everything appended is acknowledged.
// Pure bookkeeping.

/** Marks stand between records, which are numbered from 0 in the order they were appended, whatever their partition. */
export class Checkpoints {
  #lsns: number[] = []
  #numbers: number[] = []
  #head = 0
  #durable = 0

  /** The last LSN whose records are all acknowledged; 0 before the first. */
  get durable(): number {
    return this.#durable
  }

  /** The records numbered below `appended` belong to what is covered by `lsn`. LSNs and numbers never go down. */
  push(lsn: number, appended: number): void {
    const last = this.#numbers.length - 1
    if (last >= this.#head && this.#numbers[last] === appended) this.#lsns[last] = lsn
    else {
      this.#lsns.push(lsn)
      this.#numbers.push(appended)
    }
  }

  /** Records numbered below `firstPending` are acknowledged. Gives whether `durable` has grown. */
  advance(firstPending: number): boolean {
    const before = this.#head
    while (this.#head < this.#numbers.length && this.#numbers[this.#head]! <= firstPending) this.#head += 1
    if (this.#head === before) return false
    this.#durable = this.#lsns[this.#head - 1]!
    this.#compact()
    return true
  }

  /** Shifting an array costs its length, so it is done once per half. */
  #compact(): void {
    if (this.#head * 2 < this.#numbers.length) return
    this.#lsns = this.#lsns.slice(this.#head)
    this.#numbers = this.#numbers.slice(this.#head)
    this.#head = 0
  }
}

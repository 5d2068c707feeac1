// kafka/producer/checkpoints: the last checkpoint before which every appended record is
// acknowledged. It does no I/O.

/**
 * A checkpoint is durable when all records appended before it are acknowledged. Records of all
 * partitions are numbered from 0 in the order of appending.
 */
export class Checkpoints {
  #lsns: number[] = []
  #numbers: number[] = []
  #head = 0
  #durable = 0

  /** The last LSN whose records are all acknowledged; 0 before the first. */
  get durable(): number {
    return this.#durable
  }

  /**
   * Adds a checkpoint: the records numbered below `appended` belong to `lsn`. LSNs and numbers
   * never decrease.
   */
  push(lsn: number, appended: number): void {
    const last = this.#numbers.length - 1
    if (last >= this.#head && this.#numbers[last] === appended) this.#lsns[last] = lsn
    else {
      this.#lsns.push(lsn)
      this.#numbers.push(appended)
    }
  }

  /**
   * Records numbered below `firstPending` are acknowledged.
   * @returns whether `durable` has grown
   */
  advance(firstPending: number): boolean {
    const before = this.#head
    while (this.#head < this.#numbers.length && this.#numbers[this.#head]! <= firstPending) this.#head += 1
    if (this.#head === before) return false
    this.#durable = this.#lsns[this.#head - 1]!
    this.#compact()
    return true
  }

  /**
   * Removing from the front costs the length of the array, so it is done for half of the array at
   * once.
   */
  #compact(): void {
    if (this.#head * 2 < this.#numbers.length) return
    this.#lsns = this.#lsns.slice(this.#head)
    this.#numbers = this.#numbers.slice(this.#head)
    this.#head = 0
  }
}

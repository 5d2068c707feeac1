// contract/refusal: a value that its column's type downstream cannot hold.
// It depends on the image alone, so that the same row is refused at every attempt.

/**
 * Counts the changes of what is refused. A generation keeps to the rules that it began with: a row that was set aside must not come
 * back as the old row of a change, to be taken out of sums that never had it.
 */
export const refusalRules = 1

/** Thrown by the encoders; the column is filled in by the row's encoder. It does not carry the value, which must not get into a log. */
export class Refusal extends Error {
  /** Column the value stands in; empty for the image as a whole. */
  column = ''

  /** @param reason sentence that follows "column x of row y: " */
  constructor(reason: string) {
    super(reason)
    this.name = 'Refusal'
  }
}

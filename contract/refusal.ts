// contract/refusal: a value that the type of its column downstream cannot represent.
// A refusal depends on the image alone, so every attempt refuses the same row.

/**
 * Version of the rules by which values are refused. A generation keeps the rules that it began
 * with. Otherwise a row in the dead letters could later be sent as the old row of a change, and be
 * subtracted from sums that never contained it.
 */
export const refusalRules = 1

/**
 * Thrown by the encoders of values; the encoder of rows adds the column. It has no value of a row,
 * which must not be logged.
 */
export class Refusal extends Error {
  /** The column of the value; empty for the image as a whole. */
  column = ''

  /** @param reason a sentence that follows "column x of row y: " */
  constructor(reason: string) {
    super(reason)
    this.name = 'Refusal'
  }
}

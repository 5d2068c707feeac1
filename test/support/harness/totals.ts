// test/support/harness/totals: numbers of passed, failed and skipped tests, and the lines that
// report them.

export interface Totals {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

export const noTests: Totals = { passed: 0, failed: 0, skipped: 0 }

export function addTotals(a: Totals, b: Totals): Totals {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped }
}

/** The last line of a test file's output, which the runner reads. */
export function fileLine({ passed, failed, skipped }: Totals): string {
  return `::tests passed=${passed} failed=${failed} skipped=${skipped}`
}

/** The last such line in a file's output; undefined when there is none. */
export function readFileLine(output: string): Totals | undefined {
  const found = [...output.matchAll(/^::tests passed=(\d+) failed=(\d+) skipped=(\d+)$/gm)].at(-1)
  return found && { passed: Number(found[1]), failed: Number(found[2]), skipped: Number(found[3]) }
}

/** The last line of a whole run, for people and for continuous integration. */
export function closingLine({ passed, failed, skipped }: Totals): string {
  return `${passed} passed, ${failed} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`
}

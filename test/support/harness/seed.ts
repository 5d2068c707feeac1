// test/support/harness/seed: where a random test begins, how to begin there again, and how much it
// does.

/**
 * `TEST_SEED` repeats a run; without it every run is another one. Printed, because the runner shows
 * the output of failures.
 */
export function testSeed(): number {
  const given = Number(process.env.TEST_SEED)
  const seed = Number.isInteger(given) && given > 0 ? given : Math.floor(Math.random() * 2 ** 31) + 1
  console.log(`seed ${seed} (TEST_SEED=${seed} repeats this run)`)
  return seed
}

/** So often, or `TEST_TIMES` times as often: what a long run repeats more than an everyday one. */
export function times(count: number): number {
  return count * Number(process.env.TEST_TIMES ?? 1)
}

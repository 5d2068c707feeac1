// test/support/harness/seed: the seed of random tests, and how often they repeat.

/**
 * `TEST_SEED` repeats a run; without it, every run has a new seed. The seed is printed, because the
 * runner shows the output of failed files.
 */
export function testSeed(): number {
  const given = Number(process.env.TEST_SEED)
  const seed = Number.isInteger(given) && given > 0 ? given : Math.floor(Math.random() * 2 ** 31) + 1
  console.log(`seed ${seed} (TEST_SEED=${seed} repeats this run)`)
  return seed
}

/** `times`, multiplied by `TEST_TIMES` in long runs. */
export function times(count: number): number {
  return count * Number(process.env.TEST_TIMES ?? 1)
}

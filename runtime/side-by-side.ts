// runtime/side-by-side: the same work for many items, eight at a time.

/** The work mostly waits for a server, and servers handle several requests at once. */
const atOnce = 8

/**
 * Starts no more work after a failure, and resolves or rejects only after all started work has
 * ended.
 * @throws the first error of the work
 */
export async function sideBySide<T>(items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items]
  const failures: unknown[] = []
  const next = async () => {
    for (let at = taken++; at < left.length && failures.length === 0; at = taken++) {
      await work(left[at]!).catch(error => failures.push(error))
    }
  }
  let taken = 0
  await Promise.all(Array.from({ length: Math.min(atOnce, left.length) }, next))
  if (failures.length > 0) throw failures[0]
}

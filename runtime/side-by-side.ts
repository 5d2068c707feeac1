// runtime/side-by-side: the same work for many things, a few of them at once.

/** Most of such work waits for a server, which does several things at once. */
const atOnce = 8

/**
 * Begins nothing more after a failure, and ends only when nothing runs any more.
 * @throws what the work failed with first
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

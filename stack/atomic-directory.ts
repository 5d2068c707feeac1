// stack/atomic-directory: a directory that is there whole or not at all, whenever its builder is killed.

import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/**
 * Lets `fill` make the contents of `target` in a new directory beside it, then moves that in place of whatever is
 * there. Removes what killed predecessors left, so the caller holds a lock. `fill` gets an empty directory.
 */
export async function buildDirectory(target: string, fill: (temporary: string) => Promise<void>): Promise<void> {
  const parent = dirname(target)
  const prefix = `${basename(target)}.new-`
  await mkdir(parent, { recursive: true })
  for (const name of await readdir(parent)) {
    // A builder that outlived its parent may still write there; it fails by itself, and the next build removes the rest.
    if (name.startsWith(prefix)) await rm(join(parent, name), { recursive: true, force: true }).catch(() => {})
  }
  const temporary = await mkdtemp(join(parent, prefix))
  try {
    await fill(temporary)
    await rm(target, { recursive: true, force: true })
    await rename(temporary, target)
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

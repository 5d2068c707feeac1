// test/support/harness/root: where the project's files are.

import { fileURLToPath } from 'node:url'

/** Where the runner tells compiled files of the project's root. */
export const rootVariable = 'TEST_ROOT'

export const projectRoot = process.env[rootVariable] ?? fileURLToPath(new URL('../../..', import.meta.url))

// test/support/harness/root: the directory of the project's files.

import { fileURLToPath } from 'node:url'

/** By this variable the runner passes the project's root to compiled files. */
export const rootVariable = 'TEST_ROOT'

export const projectRoot = process.env[rootVariable] ?? fileURLToPath(new URL('../../..', import.meta.url))

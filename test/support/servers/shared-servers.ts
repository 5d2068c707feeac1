// test/support/servers/shared-servers: servers that outlive the test files that use them, one file
// at a time.

import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { reset, up } from '../../../stack/up.ts'
import { quietLog, sharedVariable, shareServers } from './services.ts'

export class SharedServers {
  readonly #directory: string
  #isUp = false

  constructor(directory: string) {
    this.#directory = directory
  }

  /**
   * Starts them before the first file that uses them: what a file starts itself must end with it.
   * @returns what the file needs in its environment
   */
  async for(file: string): Promise<NodeJS.ProcessEnv> {
    if (!readFileSync(file, 'utf8').includes(`${shareServers.name}(`)) return {}
    await mkdir(this.#directory, { recursive: true, mode: 0o711 })
    // Also when one of them does not start, the others have to be stopped.
    this.#isUp = true
    // A file that was killed may have left one of them dead.
    await up({ directory: this.#directory, log: quietLog() })
    return { [sharedVariable]: this.#directory }
  }

  async stop(): Promise<void> {
    if (this.#isUp) await reset(this.#directory, quietLog())
  }
}

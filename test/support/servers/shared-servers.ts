// test/support/servers/shared-servers: servers that several test files use, one file at a time.

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
   * Starts the servers before the first file that uses them, because servers that a file starts
   * must end with it.
   * @returns variables for the file's environment
   */
  async for(file: string): Promise<NodeJS.ProcessEnv> {
    if (!readFileSync(file, 'utf8').includes(`${shareServers.name}(`)) return {}
    await mkdir(this.#directory, { recursive: true, mode: 0o711 })
    // If one of them does not start, the others must still be stopped.
    this.#isUp = true
    // A file that was killed may have left one of them dead.
    await up({ directory: this.#directory, log: quietLog() })
    return { [sharedVariable]: this.#directory }
  }

  async stop(): Promise<void> {
    if (this.#isUp) await reset(this.#directory, quietLog())
  }
}

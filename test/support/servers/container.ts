// test/support/servers/container: a service of docker-compose.yml as a plain process: the same
// command, environment and working directory.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type ComposeService, imageEntrypoint } from './compose.ts'

export interface Place {
  /** Contents of the container's `/app`. */
  readonly home: string
  /**
   * Replaces names that exist only inside containers by local ones, in settings, options and health
   * checks.
   */
  readonly translate: (text: string) => string
}

const outputKept = 100_000

export class Container {
  readonly name: string
  readonly #service: ComposeService
  readonly #place: Place
  #child: ChildProcess | undefined
  #ended: Promise<number | null> = Promise.resolve(null)
  #output = ''

  constructor(name: string, service: ComposeService, place: Place) {
    this.name = name
    this.#service = service
    this.#place = place
  }

  start(): void {
    const command = this.#service.command ?? []
    const options = command.slice(1).map(this.#place.translate)
    this.#child = this.#spawn([...imageEntrypoint(), ...command.slice(0, 1), ...options])
    this.#ended = once(this.#child, 'close').then(([code]) => code as number | null)
  }

  /** Exit code of a service that ends by itself. */
  ended(): Promise<number | null> {
    return this.#ended
  }

  /**
   * Runs the health check once.
   * @throws {Error} with the service's output when the service has ended
   */
  async isHealthy(): Promise<boolean> {
    if (this.#child?.exitCode !== null) throw new Error(`${this.name} ended\n${this.output}`)
    const { test } = this.#service.healthcheck!
    const [code] = await once(this.#spawn(test.slice(1).map(this.#place.translate), { quiet: true }), 'close')
    return code === 0
  }

  /** Runs another command in the service's environment, as `docker compose exec` does. */
  async exec(...args: string[]): Promise<number> {
    const [code] = await once(this.#spawn([...imageEntrypoint(), ...args]), 'close')
    return code as number
  }

  /** `docker compose stop`: SIGTERM. Returns the exit code. */
  async stop(): Promise<number | null> {
    if (this.#child?.exitCode === null) this.#child.kill('SIGTERM')
    return this.#ended
  }

  /** Kills the service if it runs. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await this.#ended
  }

  get output(): string {
    return this.#output
  }

  #spawn([program, ...args]: readonly string[], { quiet = false } = {}): ChildProcess {
    const { home, translate } = this.#place
    const own = Object.entries(this.#service.environment ?? {}).map(([name, value]) => [name, translate(String(value))])
    const child = spawn(program!, args, {
      cwd: home,
      // The current environment is not passed on, because a container has only its own.
      env: { PATH: process.env.PATH, NODE_ENV: 'production', ...Object.fromEntries(own) },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        if (!quiet) this.#output = (this.#output + text).slice(-outputKept)
      })
    }
    return child
  }
}

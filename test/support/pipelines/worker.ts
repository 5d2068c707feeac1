// test/support/pipelines/worker: one millrace service as a process, started by the real command
// line.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { commandLine } from '../harness/build.ts'

export type WorkerName = 'producer' | 'consumer' | 'generator' | 'start'

export interface WorkerEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

const logKept = 400_000
const shownLines = 25
/** Longer than the service's own deadline. */
const stopTimeoutMs = 15_000

export class Worker {
  readonly name: WorkerName
  /** How the last process ended; undefined while it runs. */
  end: WorkerEnd | undefined
  /** Starts the service again at once after any exit, until `stop`, as a supervisor does. */
  supervised = false
  readonly #args: readonly string[]
  #child: ChildProcess | undefined
  #ended: Promise<unknown> = Promise.resolve()
  #log = ''
  #peakKb = 0

  /** @param args the arguments of `millrace` */
  constructor(name: WorkerName, args: readonly string[]) {
    this.name = name
    this.#args = args
  }

  get running(): boolean {
    return this.#child !== undefined && this.end === undefined
  }

  start(): void {
    if (this.running) throw new Error(`the ${this.name} is running already`)
    this.end = undefined
    const child = spawn(process.execPath, [...commandLine(), ...this.#args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    this.#log += `--- ${this.name} started as ${child.pid}\n`
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#log = (this.#log + text).slice(-logKept)
      })
    }
    this.#ended = once(child, 'close').then(([code, signal]) => {
      this.end = { code, signal }
      this.#log += `--- ${this.name} ended with ${signal ?? `exit ${code}`}\n`
      if (this.supervised) this.start()
    })
  }

  /**
   * SIGKILL, as in a crash.
   * @throws {Error} when the process was not running, since nothing would be tested then
   */
  async kill(): Promise<void> {
    if (!this.running) throw new Error(`the ${this.name} was to be killed but was not running\n${this.tail()}`)
    this.#measure()
    const child = this.#child!
    child.kill('SIGKILL')
    await this.#ended
    if (child.signalCode !== 'SIGKILL') throw new Error(`the ${this.name} ended before it was killed\n${this.tail()}`)
  }

  /** SIGSTOP: the process keeps all it has and does no work until `resume`. */
  suspend(): void {
    this.#child!.kill('SIGSTOP')
  }

  resume(): void {
    this.#child!.kill('SIGCONT')
  }

  /**
   * SIGTERM, and waits for the exit, as a rolling restart begins. A supervised service starts
   * again.
   */
  async terminate(): Promise<void> {
    const ended = this.#ended
    this.#child!.kill('SIGTERM')
    await ended
  }

  /** SIGTERM, and waits for the exit. Does nothing when the process has ended. */
  async stop(): Promise<void> {
    this.supervised = false
    if (!this.running) return
    this.#measure()
    this.#child!.kill('SIGTERM')
    const timer = setTimeout(() => this.#child!.kill('SIGKILL'), stopTimeoutMs)
    await this.#ended
    clearTimeout(timer)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  /** Resolves when the process ends by itself. */
  async untilEnd(timeoutMs = 30_000): Promise<WorkerEnd> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      const error = () => reject(new Error(`the ${this.name} still runs after ${timeoutMs} ms\n${this.tail()}`))
      timer = setTimeout(error, timeoutMs)
    })
    await Promise.race([this.#ended, late]).finally(() => clearTimeout(timer))
    return this.end!
  }

  /** Recent output of this process and its predecessors. */
  get log(): string {
    return this.#log
  }

  tail(): string {
    return this.#log.trimEnd().split('\n').slice(-shownLines).join('\n')
  }

  /** Highest resident memory so far, of all its processes, in MB (VmHWM). */
  peakMemoryMb(): number {
    this.#measure()
    return Math.round(this.#peakKb / 1024)
  }

  #measure(): void {
    if (!this.running) return
    const status = readFileSync(`/proc/${this.#child!.pid}/status`, 'utf8')
    const peak = Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0)
    this.#peakKb = Math.max(this.#peakKb, peak)
  }
}

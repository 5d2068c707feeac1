// test/support/harness/suite: a test suite on top of uvu. Only this file imports uvu.
// A suite that fails in any way makes its process exit with 1.

import { inspect } from 'node:util'
import { suite as uvuSuite } from 'uvu'
import * as uvuAssert from 'uvu/assert'
import { type ErrorCode, MillraceError } from '../../../runtime/errors.ts'
import { fileLine } from './totals.ts'

type Step = () => unknown

interface Hook {
  (step: Step): void
  each(step: Step): void
}

export interface Suite {
  (title: string, step: Step): void
  before: Hook
  after: Hook
  /** Must be called once, after the last test has been declared. */
  run(): void
}

export interface SuiteOptions {
  /** Limit of one test with its `each` hooks. Default: 60 s. */
  readonly timeoutMs?: number
  /** Limit of one `before` or `after` hook. Default: 180 s, since hooks may start real servers. */
  readonly hookTimeoutMs?: number
  /**
   * How long open timers and sockets may keep the process alive after the last suite. Default: 5 s.
   */
  readonly leakLimitMs?: number
}

/** The output names tests that take longer, because the whole run must stay short. */
const slowSeconds = 20

const totals = { passed: 0, failed: 0, skipped: 0 }
const waiting = new Map<Suite, string>()
let running = 0

/**
 * A suite of tests. uvu alone exits with 0 when a hook throws, when a value other than an Error is
 * thrown, and when `run` is forgotten; it waits forever for a test that hangs. Here each of these
 * fails.
 */
export function suite(name: string, options: SuiteOptions = {}): Suite {
  const { timeoutMs = 60_000, hookTimeoutMs = 180_000, leakLimitMs = 5_000 } = options
  const inner = uvuSuite(name)
  const steps: Record<'before' | 'after' | 'beforeEach' | 'afterEach', Step[]> = {
    before: [],
    after: [],
    beforeEach: [],
    afterEach: [],
  }
  let broken: Error | undefined
  let declaredTests = 0

  inner.before(async () => {
    for (const step of steps.before) {
      broken = await failureOf(step, `before of "${name}"`, hookTimeoutMs)
      if (broken) return
    }
  })
  inner.after(async () => {
    for (const step of steps.after.toReversed()) {
      const failure = await failureOf(step, `after of "${name}"`, hookTimeoutMs)
      if (failure) reportFailure(`after of "${name}"`, failure)
    }
    if (broken && declaredTests === 0) reportFailure(`before of "${name}"`, broken)
    running -= 1
    if (running === 0) watchForLeaks(leakLimitMs)
  })

  const test = (title: string, step: Step) => {
    declaredTests += 1
    inner(title, async () => {
      const started = performance.now()
      const failure = broken ?? (await runTest(title, [...steps.beforeEach, step], steps.afterEach, timeoutMs))
      if (failure instanceof Skip && !isContinuousIntegration()) {
        totals.skipped += 1
        console.log(`\nskipped: ${title}: ${failure.message}`)
      } else if (failure) {
        totals.failed += 1
        throw failure
      } else totals.passed += 1
      const seconds = (performance.now() - started) / 1000
      if (seconds > slowSeconds) console.log(`\nslow: ${seconds.toFixed(1)} s  ${title}`)
    })
  }
  const outer: Suite = Object.assign(test, {
    before: hook(steps.before, steps.beforeEach),
    after: hook(steps.after, steps.afterEach),
    run() {
      waiting.delete(outer)
      running += 1
      inner.run()
    },
  })
  waiting.set(outer, name)
  return outer
}

function hook(once: Step[], each: Step[]): Hook {
  return Object.assign((step: Step) => void once.push(step), { each: (step: Step) => void each.push(step) })
}

/**
 * Runs the steps in order up to the first failure, then all closing steps. Returns the first
 * failure.
 */
async function runTest(title: string, steps: Step[], closing: Step[], timeoutMs: number): Promise<Error | undefined> {
  let failure: Error | undefined
  for (const step of steps) failure ??= await failureOf(step, `"${title}"`, timeoutMs)
  for (const step of closing) {
    const late = await failureOf(step, `after.each of "${title}"`, timeoutMs)
    failure ??= late
  }
  return failure
}

async function failureOf(step: Step, what: string, timeoutMs: number): Promise<Error | undefined> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} was still running after ${timeoutMs} ms`)), timeoutMs)
  })
  try {
    await Promise.race([Promise.resolve().then(step), limit])
    return undefined
  } catch (thrown) {
    return presentable(thrown)
  } finally {
    clearTimeout(timer)
  }
}

/**
 * An Error that uvu can print. uvu aborts the whole suite on a value without name, message or
 * stack, and prints a message of several lines twice. The stack keeps only frames of the test;
 * causes and MillraceErrors are printed whole.
 */
function presentable(thrown: unknown): Error {
  if (thrown instanceof Skip) return thrown
  if (!(thrown instanceof Error)) return withStack(new Error(`not an Error, but thrown: ${inspect(thrown)}`), '')
  if (thrown instanceof uvuAssert.Assertion || isPlain(thrown)) {
    const own = /^\s+at (?!.*(node_modules\/uvu|support\/suite))/
    const frames = (thrown.stack ?? '').split('\n').filter(line => own.test(line))
    return withStack(thrown, ['', ...frames].join('\n'))
  }
  const text = thrown instanceof MillraceError ? `${thrown.toText()}\n${inspect(thrown)}` : inspect(thrown)
  return withStack(new Error(text), '')
}

function withStack(error: Error, stack: string): Error {
  return Object.assign(error, { stack })
}

function isPlain(error: Error): boolean {
  return (
    error.cause === undefined && !('suppressed' in error) && error.message !== '' && !(error instanceof MillraceError)
  )
}

function reportFailure(where: string, failure: Error): void {
  totals.failed += 1
  console.error(`\nFAIL ${where}: ${failure.message}`)
}

/** Fires only when something else keeps the process alive, since the timer itself does not. */
function watchForLeaks(limitMs: number): void {
  setTimeout(() => {
    if (running > 0) return
    reportFailure('end of file', new Error(`left open: ${process.getActiveResourcesInfo().join(', ')}`))
    process.exit(1)
  }, limitMs).unref()
}

process.on('exit', () => {
  for (const name of waiting.values()) reportFailure(`"${name}"`, new Error('the suite was declared but never run()'))
  if (running > 0) reportFailure('end of file', new Error('the process ended before its tests were through'))
  else if (Object.values(totals).every(count => count === 0))
    reportFailure('end of file', new Error('no test was declared'))
  process.stdout.write(`\n${fileLine(totals)}\n`)
  if (totals.failed > 0) process.exitCode = 1
})

class Skip extends Error {}

/**
 * Ends the test as skipped. Only for a missing developer tool; with CI=true the test fails instead.
 */
export function skip(reason: string): never {
  throw new Skip(reason)
}

function isContinuousIntegration(): boolean {
  return process.env.CI === 'true'
}

export interface UntilOptions {
  /** The awaited state, for the message: "row 7 in ClickHouse". */
  readonly what: string
  /** Default: 15 s. */
  readonly timeoutMs?: number
}

/**
 * Pauses between attempts grow: an attempt is usually a query, which takes CPU from the awaited
 * work.
 */
const [shortestPauseMs, longestPauseMs] = [10, 100]

/**
 * Waits until the condition returns a truthy value and returns that. A condition that throws is
 * tried again.
 * @throws {Error} after the limit, with the caller's line and the last value or error
 */
export async function until<T>(condition: () => T | Promise<T>, { what, timeoutMs = 15_000 }: UntilOptions) {
  // Formatting a stack reads source maps, so it is done only for a stack that is shown.
  const caller = new Error()
  const deadline = performance.now() + timeoutMs
  let last: unknown
  let pauseMs = shortestPauseMs
  do {
    try {
      const value = await condition()
      if (value) return value as Exclude<T, undefined | null | false | 0 | ''>
      last = value
    } catch (error) {
      last = error
    }
    await new Promise(resolve => setTimeout(resolve, pauseMs))
    pauseMs = Math.min(pauseMs * 1.5, longestPauseMs)
  } while (performance.now() < deadline)
  const site = caller.stack?.split('\n')[2]?.trim()
  throw new Error(
    `waited ${timeoutMs} ms in vain for: ${what}\n    ${site}\n    last: ${last}`,
    last instanceof Error ? { cause: last } : {},
  )
}

/**
 * Deep equality. The message prints both sides with `inspect`, since uvu's diff prints 1n and "1"
 * alike.
 */
function equal(actual: unknown, expects: unknown, message?: uvuAssert.Message): void {
  const sides = `${inspect(actual, { depth: 8 })} is not ${inspect(expects, { depth: 8 })}`
  uvuAssert.equal(actual, expects, message ?? (sides.length < 600 ? sides : undefined))
}

/**
 * Returns the error with which the function throws or rejects.
 * @throws {Error} when it does neither
 */
async function rejects(step: Step, expects: RegExp = /(?:)/): Promise<Error> {
  try {
    await step()
  } catch (error) {
    uvuAssert.instance(error, Error)
    uvuAssert.match((error as Error).message, expects)
    return error as Error
  }
  throw new uvuAssert.Assertion({ message: 'expected it to fail', operator: 'rejects', expects, actual: 'no error' })
}

/**
 * Asserts that the function throws or rejects with a MillraceError of this code, and returns the
 * error.
 */
async function refuses(step: Step, code: ErrorCode, expects?: RegExp): Promise<MillraceError> {
  const error = await rejects(step, expects)
  uvuAssert.instance(error, MillraceError)
  uvuAssert.is((error as MillraceError).code, code)
  return error as MillraceError
}

type Assert = typeof uvuAssert & { readonly rejects: typeof rejects; readonly refuses: typeof refuses }

/**
 * uvu's assertions, plus `rejects` for any error and `refuses` for a MillraceError. Both also
 * accept functions that are not async.
 */
export const assert: Assert = { ...uvuAssert, equal, rejects, refuses }

// stack/state: stack.json, the state of a stack between runs.
// A process that changes it holds the stack's lock.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MillraceError } from '../runtime/errors.ts'
import { replaceFile } from '../runtime/files.ts'
import type { Component, Ports } from './component.ts'

/** The state of one server. Ports are written before its start, so that an orphan can be found. */
export interface ComponentState {
  readonly ports: Ports
  /**
   * Absolute data directory. It is outside the stack's directory if the account cannot reach that.
   */
  readonly data: string
  /** Whether a client may know the address. Then the ports never change. */
  readonly advertised: boolean
  readonly pid?: number
  readonly startedAt?: string
}

export type StackState = { readonly [name in Component]?: ComponentState }

export function statePath(directory: string): string {
  return join(directory, 'stack.json')
}

/** The stack's state; empty when there is none yet. */
export function readState(directory: string): StackState {
  const path = statePath(directory)
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as StackState
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw new MillraceError('STACK_FAILED', {
      what: "the local stack's state file cannot be read",
      where: path,
      next: 'delete the file and run `millrace up` again; the data stays and the servers get new ports',
      cause,
    })
  }
}

/** Replaces one server's entry, atomically for readers. */
export function writeState(directory: string, name: Component, entry: ComponentState): void {
  const text = JSON.stringify({ ...readState(directory), [name]: entry }, undefined, 2)
  replaceFile(statePath(directory), `${text}\n`)
}

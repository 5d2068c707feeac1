// stack/state: stack.json, the memory of a stack between runs. Whoever changes it holds the stack's lock.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MillraceError } from '../runtime/errors.ts'
import { replaceFile } from '../runtime/files.ts'
import type { Component, Ports } from './component.ts'

/** What is known of one component. Ports are written before the component starts, so that an orphan can be adopted. */
export interface ComponentState {
  readonly ports: Ports
  /** Absolute data directory; outside the stack's own when its account cannot reach that. */
  readonly data: string
  /** Whether the endpoint was ever given to anybody: then the ports stay. */
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
      next: 'delete the file and run `millrace up` again: the data stays, the components get new ports',
      cause,
    })
  }
}

/** Replaces one component's entry. Readers see the old file or the new one, never a half. */
export function writeState(directory: string, name: Component, entry: ComponentState): void {
  const text = JSON.stringify({ ...readState(directory), [name]: entry }, undefined, 2)
  replaceFile(statePath(directory), `${text}\n`)
}

#!/usr/bin/env node
// cli/main: the entry of `millrace`: runs the program and turns errors into exit codes.

import { CommanderError } from 'commander'
import { MillraceError } from '../runtime/errors.ts'
import { exitCodes } from '../runtime/lifecycle.ts'
import { missingPackage } from '../runtime/optional-packages.ts'
import { createProgram } from './program.ts'

/** Writes the message to stderr, the most important line first, and the stack only with --debug. */
function fail(error: unknown): void {
  process.exitCode = exitCodes.failed
  if (error instanceof CommanderError) {
    // Commander has written its own message. Help and version are no failures.
    process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.failed
    return
  }
  const known = error instanceof MillraceError ? error : missingPackage(error)
  if (known) process.stderr.write(`${known.toText()}\n`)
  else process.stderr.write(`INTERNAL: ${error instanceof Error ? error.message : String(error)}\n`)
  if (process.argv.includes('--debug')) console.error(error)
  else if (!known) process.stderr.write('  next:  run again with --debug and report the stack\n')
}

process.on('uncaughtException', error => {
  fail(error)
  process.exit()
})

// `millrace status | head` closes the pipe early; nobody reads a message then.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(exitCodes.failed)
  throw error
})

try {
  const program = await createProgram(process.argv.slice(2))
  await program.parseAsync()
} catch (error) {
  fail(error)
}

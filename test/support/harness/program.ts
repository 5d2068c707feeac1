// test/support/harness/program: small programs written for one test and run as processes of their
// own.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { commandLine } from './build.ts'
import { projectRoot } from './root.ts'

/** Writes the files into a new temporary directory and returns its path. */
export function writeFixture(files: Readonly<Record<string, string>>): string {
  const directory = mkdtempSync(join(tmpdir(), 'fixture-'))
  for (const [path, text] of Object.entries({ 'package.json': '{ "type": "module" }', ...files })) {
    mkdirSync(dirname(join(directory, path)), { recursive: true })
    writeFileSync(join(directory, path), text)
  }
  return directory
}

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Program {
  readonly pid: number
  /** Output so far, stdout and stderr. */
  readonly written: () => string
  readonly ended: Promise<Ended>
}

/** Starts a TypeScript program under tsx, with additions to the current environment. */
export function startProgram(args: readonly string[], env: NodeJS.ProcessEnv = {}): Program {
  return startNode(['--import', import.meta.resolve('tsx'), ...args], env)
}

/** Starts a command of millrace, with additions to the current environment. */
export function startCommand(args: readonly string[], env: NodeJS.ProcessEnv = {}): Program {
  return startNode([...commandLine(), ...args], env)
}

/** Runs node on a JavaScript file in the project's root, to its end. */
export function runTool(args: readonly string[]): Promise<Ended> {
  return startNode(args, {}).ended
}

function startNode(args: readonly string[], env: NodeJS.ProcessEnv): Program {
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: projectRoot,
    env: { ...process.env, ...env },
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr }))
  return { pid: child.pid!, written: () => stdout + stderr, ended }
}

/** Absolute import path of a project's file, for the text of a fixture. */
export function importPath(path: string): string {
  return JSON.stringify(pathToFileURL(join(projectRoot, path)).href)
}

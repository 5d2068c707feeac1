// test/support/servers/compose: docker-compose.yml as Docker Compose reads it, without Docker.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { projectRoot } from '../harness/root.ts'

export interface ComposeService {
  readonly image: string
  readonly build?: string
  readonly command?: readonly string[]
  readonly restart?: string
  readonly environment?: Readonly<Record<string, string | number>>
  readonly volumes?: readonly string[]
  readonly ports?: readonly string[]
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly healthcheck?: { readonly test: readonly string[] }
}

export interface ComposeFile {
  readonly services: Readonly<Record<string, ComposeService>>
  readonly volumes: Readonly<Record<string, unknown>>
}

type Variables = Readonly<Record<string, string>>

/**
 * The file with anchors merged and `${NAME-default}` replaced; `$$` is a literal `$`. @throws
 * {Error} without a default
 */
export function readCompose(variables: Variables = {}): ComposeFile {
  const text = readFileSync(join(projectRoot, 'docker-compose.yml'), 'utf8')
  return interpolate(parse(text, { merge: true }), variables) as ComposeFile
}

function interpolate(value: unknown, variables: Variables): unknown {
  if (Array.isArray(value)) return value.map(inner => interpolate(inner, variables))
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, interpolate(inner, variables)]))
  }
  if (typeof value !== 'string') return value
  return value.replace(/\$\$|\$\{(\w+)(?:-([^}]*))?\}/g, (whole, name: string, fallback?: string) => {
    if (whole === '$$') return '$'
    const found = variables[name] ?? fallback
    if (found === undefined)
      throw new Error(`${name} has no default, so that the file cannot be tried without setting it`)
    return found
  })
}

/** The `ENTRYPOINT` of millrace's image. */
export function imageEntrypoint(): string[] {
  const dockerfile = readFileSync(join(projectRoot, 'Dockerfile'), 'utf8')
  const [, list] = /^ENTRYPOINT (\[.*\])$/m.exec(dockerfile) ?? []
  return JSON.parse(list!) as string[]
}

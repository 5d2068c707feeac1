// runtime/service-discovery: files with the addresses of running services, from which other
// commands find them.

import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { replaceFile } from './files.ts'

export type Service = 'producer' | 'consumer' | 'generator'

export interface ServiceAddress {
  readonly pid: number
  /** `http://host:port` of the service's status server. */
  readonly url: string
}

/**
 * Writes the file of a service that has started. `withdraw` removes it; after a crash it remains
 * and is stale.
 */
export function announce(directory: string, pipeline: string, service: Service, url: string): void {
  const path = pathOf(directory, pipeline, service)
  mkdirSync(join(directory, 'run'), { recursive: true })
  // Several consumers of one pipeline may start at the same time.
  replaceFile(path, JSON.stringify({ pid: process.pid, url } satisfies ServiceAddress), `${path}.${process.pid}`)
}

export function withdraw(directory: string, pipeline: string, service: Service): void {
  if (findService(directory, pipeline, service)?.pid === process.pid)
    rmSync(pathOf(directory, pipeline, service), { force: true })
}

/** The service announced last. It may have crashed since; its /livez shows whether it runs. */
export function findService(directory: string, pipeline: string, service: Service): ServiceAddress | undefined {
  try {
    return JSON.parse(readFileSync(pathOf(directory, pipeline, service), 'utf8')) as ServiceAddress
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** The service's /status; undefined when it does not answer. */
export async function askStatus<Status>(
  directory: string,
  pipeline: string,
  service: Service,
): Promise<Status | undefined> {
  const found = findService(directory, pipeline, service)
  if (found === undefined) return undefined
  try {
    const response = await fetch(`${found.url}/status`, { signal: AbortSignal.timeout(2000) })
    return response.ok ? ((await response.json()) as Status) : undefined
  } catch {
    return undefined
  }
}

function pathOf(directory: string, pipeline: string, service: Service): string {
  return join(directory, 'run', `${pipeline}.${service}.json`)
}

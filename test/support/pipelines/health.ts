// test/support/pipelines/health: the responses of a running service at /livez and /readyz.

import { findService, type Service } from '../../../runtime/service-discovery.ts'

export interface HealthAnswer {
  /** The status; 0 while nothing listens. */
  readonly status: number
  readonly why: string
}

export async function askHealth(
  { directory, name }: { readonly directory: string; readonly name: string },
  service: Service,
  path: 'livez' | 'readyz',
): Promise<HealthAnswer> {
  const found = findService(directory, name, service)
  const response = found && (await fetch(`${found.url}/${path}`).catch(() => undefined))
  if (response === undefined) return { status: 0, why: '' }
  const { why = '' } = (await response.json()) as { why?: string }
  return { status: response.status, why }
}

// kafka/registry/http-registry: an external Confluent-compatible schema registry.

import { MillraceError } from '../../runtime/errors.ts'
import { sideBySide } from '../../runtime/side-by-side.ts'
import type { RegisteredSchema, SchemaStore } from './schema-store.ts'

const timeoutMs = 10_000
const mediaType = 'application/vnd.schemaregistry.v1+json'
const notFound = 404

/**
 * The body of an error response.
 * @see https://docs.confluent.io/platform/current/schema-registry/develop/api.html#errors
 */
interface RegistryError {
  readonly error_code?: number
  readonly message?: string
}

export class HttpRegistry implements SchemaStore {
  readonly #base: URL
  readonly #authorization: string | undefined
  /** An id never changes its schema. */
  readonly #byId = new Map<number, string>()

  constructor(url: string) {
    const { username, password } = new URL(url)
    this.#base = new URL(url.endsWith('/') ? url : `${url}/`)
    this.#base.username = ''
    this.#base.password = ''
    const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
    this.#authorization = username === '' ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`
  }

  async register(subject: string, schema: string): Promise<number> {
    const path = `subjects/${encodeURIComponent(subject)}/versions`
    const body = JSON.stringify({ schemaType: 'AVRO', schema })
    const answer = await this.#ask<{ id: number }>('POST', path, body)
    if (answer === undefined) throw this.#refused(path, notFound, {})
    return answer.id
  }

  async byId(id: number): Promise<string | undefined> {
    const known = this.#byId.get(id)
    if (known !== undefined) return known
    const answer = await this.#ask<{ schema: string; schemaType?: string }>('GET', `schemas/ids/${id}`)
    if (answer !== undefined) this.#byId.set(id, answer.schema)
    return answer?.schema
  }

  latest(subject: string): Promise<RegisteredSchema | undefined> {
    return this.#ask<RegisteredSchema>('GET', `subjects/${encodeURIComponent(subject)}/versions/latest`)
  }

  async latestOf(subjects: readonly string[]): Promise<(RegisteredSchema | undefined)[]> {
    const found: (RegisteredSchema | undefined)[] = []
    await sideBySide(subjects.entries(), async ([place, subject]) => {
      found[place] = await this.latest(subject)
    })
    return found
  }

  async close(): Promise<void> {}

  /** @returns undefined for 404 */
  async #ask<T>(method: 'GET' | 'POST', path: string, body?: string): Promise<T | undefined> {
    const response = await this.#send(method, path, body)
    const text = await response.text().catch(error => {
      throw this.#unreachable(path, error)
    })
    if (response.status === notFound) return undefined
    if (response.status >= 500 || response.status === 429)
      throw this.#unreachable(path, `${response.status} ${text.slice(0, 200)}`)
    const answer = parse(text)
    if (!response.ok || answer === undefined)
      throw this.#refused(path, response.status, (answer ?? {}) as RegistryError)
    return answer as T
  }

  async #send(method: string, path: string, body: string | undefined): Promise<Response> {
    const headers = {
      accept: `${mediaType}, application/json`,
      ...(body === undefined ? {} : { 'content-type': mediaType }),
      ...(this.#authorization === undefined ? {} : { authorization: this.#authorization }),
    }
    try {
      const signal = AbortSignal.timeout(timeoutMs)
      return await fetch(new URL(path, this.#base), {
        method,
        headers,
        signal,
        ...(body === undefined ? {} : { body }),
      })
    } catch (error) {
      throw this.#unreachable(path, error)
    }
  }

  #unreachable(path: string, cause: unknown): MillraceError {
    const { message, cause: inner } = cause instanceof Error ? cause : new Error(String(cause))
    const why = inner instanceof Error ? `${message} (${inner.message})` : message
    return new MillraceError('REGISTRY_UNREACHABLE', {
      what: `the schema registry does not answer: ${why}`,
      where: `${this.#base.href}${path}`,
      next: 'wait; if it stays so, check kafka.registry in the configuration and that the registry runs',
      cause,
    })
  }

  #refused(path: string, status: number, { error_code, message }: RegistryError): MillraceError {
    return new MillraceError('REGISTRY_REFUSED', {
      what: `the schema registry refused a request: ${message ?? `HTTP ${status}`}`,
      where: `${this.#base.href}${path} (${error_code ?? status})`,
      next:
        status === 409
          ? "set the subject's compatibility to NONE: a changed table starts a new generation with new subjects anyway"
          : 'check the address, user and password in kafka.registry',
    })
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

// generator/api/problem: errors of requests as application/problem+json.
// Messages of libraries are only logged.

import type { FastifyError } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { type ErrorCode, errorCodes, MillraceError } from '../../runtime/errors.ts'

/**
 * RFC 9457, with the members `code`, `next`, `request_id` and `faults`.
 * @see https://www.rfc-editor.org/rfc/rfc9457
 */
const problemSchema = z
  .strictObject({
    type: z.string().meta({ description: 'urn:millrace:error: and the code.' }),
    title: z.string().meta({ description: 'What the code means.' }),
    status: z.int(),
    detail: z.string().meta({ description: 'What is wrong here.' }),
    code: z.string().meta({ description: 'As `millrace explain` lists them.' }),
    next: z.string().meta({ description: 'What to do next.' }),
    request_id: z.string(),
    faults: z
      .array(z.strictObject({ at: z.string(), detail: z.string() }))
      .optional()
      .meta({ description: 'Each fault of the request by its place, such as /body/items/0/quantity.' }),
  })
  .meta({ id: 'Problem', description: 'An error, as RFC 9457 has it.' })

export type Problem = z.output<typeof problemSchema>
export const problemType = 'application/problem+json'

const descriptions: Readonly<Record<number, string>> = {
  400: 'The request is not as described here.',
  403: 'The request comes from a page of another site.',
  404: 'What the request names does not exist.',
  409: 'The state of things does not allow it.',
  413: 'The body is too large.',
  414: 'The path is too long.',
  415: 'The body is of another type.',
  422: 'The content cannot be used.',
  500: 'A fault of the service; its log says more.',
  503: 'Postgres does not answer.',
}

/** The responses of a route's schema: these, and the ones of every request. */
export function problems(...statuses: readonly number[]) {
  const all = [...new Set([400, 403, 413, 414, 415, 500, 503, ...statuses])]
  const content = { [problemType]: { schema: problemSchema } }
  return Object.fromEntries(all.map(status => [status, { description: descriptions[status]!, content }]))
}

const statusByCode: Partial<Record<ErrorCode, number>> = {
  REQUEST_INVALID: 400,
  USAGE: 400,
  NOT_FOUND: 404,
  ORDER_STATUS: 409,
  SCENARIO_RUNNING: 409,
  IMPORT_RUNNING: 409,
  IMPORT_CHANGED: 409,
  SOURCE_EMPTY: 409,
  KEY_REUSED: 422,
  IMPORT_UNREADABLE: 422,
  POSTGRES_UNREACHABLE: 503,
  POSTGRES_BUSY: 503,
}

/** The response for a thrown error. */
export function problemOf(error: unknown, requestId: string): Problem {
  const { code, message, next, status, faults } = partsOf(error)
  return {
    type: `urn:millrace:error:${code}`,
    title: errorCodes[code].meaning,
    status,
    detail: message,
    code,
    next,
    request_id: requestId,
    ...(faults === undefined ? {} : { faults }),
  }
}

interface Parts {
  readonly code: ErrorCode
  readonly message: string
  readonly next: string
  readonly status: number
  readonly faults?: Problem['faults']
}

/** Characters of a library's message that are kept; the message may repeat the request. */
const longestMessage = 300

function partsOf(error: unknown): Parts {
  if (error instanceof MillraceError) {
    const { code, message, next } = error
    return { code, message, next, status: statusByCode[code] ?? 500 }
  }
  if (hasZodFastifySchemaValidationErrors(error)) {
    const faults = error.validation.map(({ instancePath, message }) => ({
      at: `/${error.validationContext}${instancePath}`,
      detail: message ?? 'is not as described',
    }))
    return { ...invalid('the request is not as described'), faults }
  }
  const { statusCode = 500, message = '' } = (error ?? {}) as Partial<FastifyError>
  if (statusCode >= 400 && statusCode < 500) return { ...invalid(message.slice(0, longestMessage)), status: statusCode }
  return {
    code: 'INTERNAL',
    message: 'the request failed because of an error in the service',
    next: 'the log of the generator says more under this request id',
    status: 500,
  }
}

function invalid(message: string): Parts {
  return {
    code: 'REQUEST_INVALID',
    message,
    next: 'compare the request with /openapi.json, or try it at /docs',
    status: 400,
  }
}

// runtime/config/overrides: settings given by the environment or on the command line instead of in the file.

import { MillraceError } from '../errors.ts'
import { didYouMean } from '../suggest.ts'
import type { Environment } from './file.ts'
import { type Setting, settings } from './settings.ts'

export interface Override {
  readonly setting: Setting
  readonly text: string
}

/** Names that container platforms set by themselves for a service called millrace, such as `MILLRACE_PORT_80_TCP`. */
const platformVariable = /_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_.*)?)$/

/**
 * Settings given as `MILLRACE_…`; an empty one counts as not given.
 * @throws {MillraceError} CONFIG_INVALID for a `MILLRACE_…` name that is no setting
 */
export function fromEnvironment(env: Environment): Override[] {
  const overrides: Override[] = []
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith('MILLRACE_') || variable === 'MILLRACE_CONFIG') continue
    const setting = settings.find(candidate => candidate.variable === variable)
    if (setting && text) overrides.push({ setting, text })
    if (setting || platformVariable.test(variable)) continue
    const known = settings.map(candidate => candidate.variable)
    throw new MillraceError('CONFIG_INVALID', {
      what: `${variable} is no setting.${didYouMean(variable, known)}`,
      where: 'environment',
      next: 'correct or unset it; millrace config schema lists every name',
    })
  }
  return overrides
}

/** @throws {MillraceError} USAGE for an unknown key, or a secret, which other users could read from the process list */
export function fromFlags(flags: Readonly<Record<string, string>>): Override[] {
  return Object.entries(flags).map(([key, text]) => {
    const setting = settings.find(candidate => candidate.key === key)
    if (!setting) {
      throw new MillraceError('USAGE', {
        what: `${key} is no setting.${didYouMean(
          key,
          settings.map(candidate => candidate.key),
        )}`,
        where: 'command line',
        next: 'millrace config show lists every setting',
      })
    }
    if (setting.secret || (setting.address && URL.canParse(text) && new URL(text).password !== '')) {
      throw new MillraceError('USAGE', {
        what: `${key} would show a password to everyone who can list processes`,
        where: 'command line',
        next: `set ${setting.variable} in the environment instead`,
      })
    }
    return { setting, text }
  })
}

/** Puts the value that the text stands for at the setting's place, making sections on the way. */
export function assign(values: Record<string, unknown>, { path, fromText }: Setting, text: string): void {
  let section = values
  for (const key of path.slice(0, -1)) {
    const inner = section[key]
    const next = typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>) : {}
    section[key] = next
    section = next
  }
  section[path.at(-1)!] = fromText(text)
}

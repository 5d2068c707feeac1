// runtime/config/overrides: settings from the environment and the command line.

import { MillraceError } from '../errors.ts'
import { didYouMean } from '../suggest.ts'
import type { Environment } from './file.ts'
import { type Setting, settings } from './settings.ts'

export interface Override {
  readonly setting: Setting
  readonly text: string
}

/**
 * Variables that container platforms set for a service named millrace, such as
 * `MILLRACE_PORT_80_TCP`.
 */
const platformVariable = /_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_.*)?)$/

/**
 * Settings from `MILLRACE_…` variables; empty variables are ignored.
 * @throws {MillraceError} CONFIG_INVALID for a `MILLRACE_…` variable that is not a setting
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

/**
 * @throws {MillraceError} USAGE for an unknown key, or a secret, which other users could read from
 *   the process list
 */
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

/** Parses the text and stores its value at the setting's path, creating missing sections. */
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

// producer/capture/generation-changed: the error for a generation that no longer fits what is to be captured.

import { MillraceError } from '../../runtime/errors.ts'

/** @param what plain sentence: what was and what is */
export function generationChanged(what: string, where: string): MillraceError {
  return new MillraceError('GENERATION_CHANGED', {
    what,
    where,
    next: 'change it back, or start a new generation beside this one: millrace producer --new-generation',
  })
}

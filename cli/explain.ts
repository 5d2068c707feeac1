// cli/explain: `millrace explain [CODE]`: what an error code means and how a process reacts to it.

import type { Command } from 'commander'
import { type ErrorCode, errorCodes, MillraceError } from '../runtime/errors.ts'
import { didYouMean } from '../runtime/suggest.ts'

const reactions = { retry: 'tries again by itself', stop: 'stops until someone has acted' } as const

export function explainCommand(program: Command): void {
  program
    .command('explain')
    .description('explain an error code, or without one all error codes')
    .argument('[code]', 'the code, such as KAFKA_UNREACHABLE')
    .option('--markdown', 'print the page docs/reference/errors.md')
    .action((code: string | undefined, { markdown }: { markdown?: true }) => {
      const text = markdown ? errorTable() : (code === undefined ? Object.keys(errorCodes) : [code]).map(line).join('')
      process.stdout.write(text)
    })
}

function line(code: string): string {
  if (!isCode(code)) {
    throw new MillraceError('USAGE', {
      what: `${code} is not an error code.${didYouMean(code, Object.keys(errorCodes))}`,
      next: 'millrace explain lists all of them',
    })
  }
  const { meaning, policy } = errorCodes[code]
  return `${code}: ${meaning}; millrace ${reactions[policy]}\n`
}

function isCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCodes, code)
}

/** The whole page docs/reference/errors.md. */
export function errorTable(): string {
  const rows = Object.entries(errorCodes).map(
    ([code, { meaning, policy }]) => `| \`${code}\` | ${meaning} | ${policy} |`,
  )
  return `# Errors

Every message has a code. It says what is wrong, where, and what to do next. On \`retry\` millrace ${reactions.retry},
with growing pauses. On \`stop\` it ${reactions.stop}, and nothing is lost meanwhile.
\`npm run docs\` makes this page from [runtime/errors.ts](../../runtime/errors.ts).

| code | meaning | what happens |
|---|---|---|
${rows.join('\n')}
`
}

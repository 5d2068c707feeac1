// cli/reference/commands-page: docs/reference/commands.md: the help of every command.

import type { Command } from 'commander'
import { createProgram } from '../program.ts'

const columns = 96

/** The page, as one Markdown text. */
export async function commandsPage(): Promise<string> {
  const program = await createProgram([])
  const commands = withSubcommands(program)
  const entries = commands.map(command => {
    const name = fullName(command)
    return `- [${name}](#${name.replaceAll(' ', '-')})`
  })
  const sections = commands.map(command => `## ${fullName(command)}\n\n\`\`\`text\n${helpOf(command).trim()}\n\`\`\`\n`)
  return `# Commands

The help of every command, as \`millrace help COMMAND\` prints it. The options of \`millrace\` itself can be given with
every command. This page is made from the program by \`npm run docs\`.

${entries.join('\n')}

${sections.join('\n')}`
}

/** The command and those below it, in the order of the help. */
function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)]
}

function fullName(command: Command): string {
  return command.parent ? `${fullName(command.parent)} ${command.name()}` : command.name()
}

/** What `--help` prints, with the texts that a command adds, in a fixed width. */
function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({
    writeOut: part => {
      text += part
    },
    getOutHelpWidth: () => columns,
    getOutHasColors: () => false,
  })
  command.outputHelp()
  return text
}

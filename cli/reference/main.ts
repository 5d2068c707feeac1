// cli/reference/main: writes the reference pages made from the program; `npm run docs` runs it.

import { writeFileSync } from 'node:fs'
import { packagePath } from '../../runtime/files.ts'
import { commandsPage } from './commands-page.ts'
import { settingsPage } from './settings-page.ts'

writeFileSync(packagePath('docs/reference/commands.md'), await commandsPage())
writeFileSync(packagePath('docs/reference/settings.md'), settingsPage())

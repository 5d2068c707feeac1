// cli/model/roles: `millrace roles [--sql | --xml]`: read-only roles for tools and people.

import type { Command } from 'commander'
import { type Clickhouse, connectClickhouse } from '../../clickhouse/client.ts'
import { loadModel } from '../../modeling/model.ts'
import { loadRoles, type Role, roleStatements, rolesFile } from '../../modeling/roles.ts'
import type { Config } from '../../runtime/config/config.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { exitCodes } from '../../runtime/lifecycle.ts'
import { runs } from '../command.ts'
import { resolveServers } from '../servers.ts'

interface RolesOptions {
  readonly sql?: true
  readonly xml?: true
}

export function rolesCommand(program: Command): void {
  program
    .command('roles')
    .description('create or update the read-only roles of the model in ClickHouse')
    .option('--sql', 'only print the SQL statements')
    .option('--xml', "only print the roles as a file for ClickHouse's users.d")
    .action(
      runs<RolesOptions>('roles', async ({ config, log, lifecycle }, { sql, xml }) => {
        const roles = modelRoles(config)
        if (sql) process.stdout.write(`${roles.flatMap(roleStatements).join(';\n')};\n`)
        if (xml) process.stdout.write(rolesFile(roles))
        if (sql || xml) return exitCodes.ok
        const services = await resolveServers(config, log, lifecycle.signal, ['clickhouse'])
        const clickhouse = connectClickhouse(services.clickhouse)
        lifecycle.opened('clickhouse', () => clickhouse.close())
        for (const role of roles) {
          await make(clickhouse, role)
          log.info('role', { name: role.name, reads: role.reads.join(', ') })
        }
        return exitCodes.ok
      }),
    )
}

function modelRoles({ model, reportTimeZone }: Config): Role[] {
  const roles = model === undefined ? [] : loadRoles(loadModel(model, reportTimeZone))
  if (roles.length > 0) return roles
  throw new MillraceError('USAGE', {
    what: model === undefined ? 'there is no model that could have roles' : 'the model has no roles.yaml',
    next: 'name a model with roles in millrace.yaml, or give --config model/sales/millrace.yaml',
  })
}

async function make(clickhouse: Clickhouse, role: Role): Promise<void> {
  try {
    for (const statement of roleStatements(role)) await clickhouse.command(statement)
  } catch (error) {
    if (!(error instanceof MillraceError) || !/ACCESS_STORAGE/.test(error.message)) throw error
    throw new MillraceError('CLICKHOUSE_FAILED', {
      what: `this ClickHouse keeps users and roles in files: ${error.message}`,
      where: clickhouse.url,
      next: 'put the output of `millrace roles --xml` into its users.d; docs/how-to/bi/README.md shows how, also for the embedded server',
      cause: error,
    })
  }
}

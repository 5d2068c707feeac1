// test/unit/compose.test: docker-compose.yml is valid by the Compose Specification and has only
// commands and settings of millrace.

import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { Ajv } from 'ajv'
import { createProgram } from '../../cli/program.ts'
import { loadConfig } from '../../runtime/config/config.ts'
import { projectRoot } from '../support/harness/root.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { imageEntrypoint, readCompose } from '../support/servers/compose.ts'

const compose = readCompose()
const services = Object.entries(compose.services)
const own = services.filter(([, { build }]) => build !== undefined)

/** The official schema. The package contains it unchanged from the specification's repository. */
function specification(): object {
  const home = dirname(createRequire(join(projectRoot, 'package.json')).resolve('dclint/package.json'))
  return JSON.parse(readFileSync(join(home, 'schemas/compose.schema.json'), 'utf8')) as object
}

const test = suite('compose')

test('docker-compose.yml is valid by the Compose Specification', () => {
  const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true, validateSchema: false })
  const validate = ajv.compile(specification())
  assert.ok(validate(compose), ajv.errorsText(validate.errors, { separator: '\n' }))
  assert.not(validate({ services: { a: { imag: 'x' } } }), 'the schema accepts anything')
})

test('a dependency waits for health, or for success of a service that ends', () => {
  for (const [name, { depends_on = {} }] of services) {
    for (const [other, { condition }] of Object.entries(depends_on)) {
      const { restart, healthcheck } = compose.services[other]!
      if (restart === 'unless-stopped') assert.ok(healthcheck, `${other} has no health check`)
      const expected = restart === 'unless-stopped' ? 'service_healthy' : 'service_completed_successfully'
      assert.is(condition, expected, `${name} waits for ${other}`)
    }
  }
})

test('no service sleeps, images have versions, ports are open to this machine only, volumes are declared', () => {
  for (const [name, { image, build, command = [], healthcheck, ports = [], volumes = [] }] of services) {
    assert.not.match([...command, ...(healthcheck?.test ?? [])].join(' '), /sleep/, name)
    if (build === undefined) assert.match(image, /:\d/, name)
    for (const port of ports) assert.match(port, /^127\.0\.0\.1:/, name)
    for (const [source, , mode] of volumes.map(volume => volume.split(':'))) {
      if (!source!.startsWith('./')) assert.ok(Object.hasOwn(compose.volumes, source!), `${name}: ${source}`)
      else assert.ok(existsSync(join(projectRoot, source!)) && mode === 'ro', `${name}: ${source}`)
    }
  }
})

test('commands and settings of our services exist', async () => {
  const known = (await createProgram([])).commands.map(command => command.name())
  for (const [name, { command = [], environment = {} }] of own) {
    assert.ok(known.includes(command[0]!), `${name}: ${command[0]} is none of ${known.join(', ')}`)
    const env = Object.fromEntries(Object.entries(environment).map(([key, value]) => [key, String(value)]))
    const file = env.MILLRACE_CONFIG!.replace('/app/', `${projectRoot}/`)
    const config = loadConfig({ file, env, cwd: projectRoot })
    assert.match(config.source.url!, '@postgres:5432/', name)
    assert.equal(config.kafka.brokers, ['kafka:9092'])
    assert.is(config.clickhouse.url, 'http://clickhouse:8123')
  }
})

test('the image starts the package as it is installed', () => {
  const { bin } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as { bin: { millrace: string } }
  assert.equal(imageEntrypoint(), ['node', bin.millrace])
  const dockerfile = readFileSync(join(projectRoot, 'Dockerfile'), 'utf8')
  for (const [, sources] of dockerfile.matchAll(/^COPY ([^-].*) \S+$/gm)) {
    for (const source of sources!.split(' ')) assert.ok(existsSync(join(projectRoot, source)), source)
  }
})

test.run()

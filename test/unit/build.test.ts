// test/unit/build.test: the compiled package starts, finds its version and contains every file that
// it reads.

import { existsSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { runTool, writeFixture } from '../support/harness/program.ts'
import { projectRoot } from '../support/harness/root.ts'
import { assert, suite } from '../support/harness/suite.ts'

interface Manifest {
  readonly version: string
  readonly bin: Readonly<Record<string, string>>
  readonly files: readonly string[]
}

const manifest = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as Manifest

const test = suite('build', { timeoutMs: 170_000 })

test('the compiled command line runs by plain node', async () => {
  const home = writeFixture({ 'package.json': JSON.stringify(manifest) })
  symlinkSync(join(projectRoot, 'node_modules'), join(home, 'node_modules'))
  // unit/static checks the types.
  const options = ['-p', 'tsconfig.build.json', '--noCheck', '--outDir', join(home, 'dist')]
  const compiled = await runTool(['node_modules/typescript/bin/tsc', ...options])
  assert.is(compiled.code, 0, compiled.stdout)
  const started = await runTool([join(home, manifest.bin.millrace!), '--version'])
  assert.is(started.stdout, `${manifest.version}\n`, started.stderr)
  assert.not(existsSync(join(home, 'dist/test')))
})

test('every file that package.json names exists', () => {
  const missing = manifest.files.filter(file => file !== 'dist' && !existsSync(join(projectRoot, file)))
  assert.equal(missing, [])
})

test('the lock file has every package for every platform, and no registry address', () => {
  const text = readFileSync(join(projectRoot, 'package-lock.json'), 'utf8')
  const { packages } = JSON.parse(text) as {
    packages: Record<string, { optionalDependencies?: Record<string, string> }>
  }
  const missing = Object.values(packages)
    .flatMap(({ optionalDependencies = {} }) => Object.keys(optionalDependencies))
    .filter(name => packages[`node_modules/${name}`] === undefined)
  assert.equal(missing, [], 'npm ci refuses a lock file that lacks what other platforms need')
  assert.not.match(text, '"resolved"')
})

test.run()

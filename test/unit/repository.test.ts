// test/unit/repository.test: the files for contributors agree with the files that they describe.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { projectRoot } from '../support/harness/root.ts'
import { assert, suite } from '../support/harness/suite.ts'

interface Manifest {
  readonly version: string
  readonly engines: { readonly node: string }
  readonly scripts: Readonly<Record<string, string>>
}

interface Step {
  readonly uses?: string
  readonly run?: string
}

interface Workflow {
  readonly permissions?: unknown
  readonly jobs: Readonly<
    Record<
      string,
      {
        readonly 'timeout-minutes'?: number
        readonly strategy?: { readonly matrix: { readonly node: readonly number[] } }
        readonly steps: readonly Step[]
      }
    >
  >
}

const read = (file: string) => readFileSync(join(projectRoot, file), 'utf8')
const manifest = JSON.parse(read('package.json')) as Manifest
const folder = '.github/workflows'
const workflows = new Map(
  readdirSync(join(projectRoot, folder)).map(file => [file, parse(read(join(folder, file))) as Workflow]),
)
const setup = parse(read('.github/actions/setup/action.yml')) as { readonly runs: { readonly steps: readonly Step[] } }
const jobs = [...workflows.values()].flatMap(({ jobs }) => Object.values(jobs))
const steps = [...jobs.flatMap(job => job.steps), ...setup.runs.steps]

const test = suite('repository')

test('contributors, the image and the development container have the same Node, which the package allows', () => {
  const node = read('.nvmrc').trim()
  assert.equal(
    [...read('Dockerfile').matchAll(/^FROM node:(\d+)/gm)].map(([, major]) => major),
    [node, node],
  )
  assert.match(read('.devcontainer/devcontainer.json'), `typescript-node:${node}-`)
  const oldest = Number(/^>=(\d+)$/.exec(manifest.engines.node)?.[1])
  for (const { strategy } of jobs) {
    if (strategy === undefined) continue
    assert.is(Math.min(...strategy.matrix.node), oldest)
    assert.ok(strategy.matrix.node.includes(Number(node)))
  }
})

test('workflows read only, end in time, run scripts that exist, and use actions of a known commit', () => {
  for (const [file, { permissions, jobs }] of workflows) {
    assert.equal(permissions, { contents: 'read' }, file)
    for (const job of Object.values(jobs)) assert.ok(job['timeout-minutes'], file)
  }
  const scripts = steps.flatMap(({ run = '' }) => [...run.matchAll(/\bnpm run (\S+)/g)].map(([, name]) => name!))
  assert.ok(scripts.length >= 3)
  for (const name of scripts) assert.ok(manifest.scripts[name], name)
  const actions = steps.flatMap(({ uses = '.' }) => (uses.startsWith('.') ? [] : [uses]))
  assert.ok(actions.length >= 4)
  for (const action of actions) assert.match(action, /^[\w-]+\/[\w-]+@[0-9a-f]{40}$/)
})

test('editors indent and wrap as the formatter does', () => {
  const { formatter } = JSON.parse(read('biome.json')) as {
    readonly formatter: { readonly indentStyle: string; readonly indentWidth: number; readonly lineWidth: number }
  }
  const editors = new Map([...read('.editorconfig').matchAll(/^(\w+) = (.+)$/gm)].map(([, key, value]) => [key, value]))
  assert.equal(
    ['indent_style', 'indent_size', 'max_line_length'].map(key => editors.get(key)),
    [formatter.indentStyle, String(formatter.indentWidth), String(formatter.lineWidth)],
  )
})

test('the changelog has a section for the next version, and then one with a date for each', () => {
  const [next, ...versions] = [...read('CHANGELOG.md').matchAll(/^## (.*)$/gm)].map(([, heading]) => heading!)
  assert.is(next, 'Unreleased')
  for (const heading of versions) assert.match(heading, /^\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d$/)
  assert.is(versions[0]?.split(' - ')[0], manifest.version)
})

test.run()

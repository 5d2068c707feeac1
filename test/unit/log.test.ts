// test/unit/log.test: one line per event on stderr, as JSON or as text, from the configured level
// on.

import { join } from 'node:path'
import { MillraceError } from '../../runtime/errors.ts'
import { statementText } from '../../runtime/printable.ts'
import { importPath, startProgram, writeFixture } from '../support/harness/program.ts'
import { assert, suite } from '../support/harness/suite.ts'

async function logged(options: string): Promise<string> {
  const body = `import { openLog } from ${importPath('runtime/log.ts')}
    const log = openLog('producer', ${options})
    log.debug('fine detail')
    log.info('batch sent', { table: 'public.orders', rows: 3, error: undefined })
    log.error('line one\\nline two')
    log.warn('odd\\n12:00:00.000 producer forged', { table: 'a\\n12:00:00.000 producer forged', column: 'x level="y"', esc: '\\u001b[2J' })`
  const { stdout, stderr } = await startProgram([join(writeFixture({ 'main.ts': body }), 'main.ts')]).ended
  assert.is(stdout, '')
  return stderr
}

const test = suite('log')

test('JSON lines stay one line each and carry the fields', async () => {
  const lines = (await logged(`{ level: 'info', format: 'auto' }`)).trimEnd().split('\n')
  const [first, second] = lines.map(line => JSON.parse(line) as Record<string, unknown>)
  assert.is(lines.length, 3)
  const { time, ...rest } = first!
  assert.match(String(time), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  assert.equal(rest, { level: 'info', component: 'producer', msg: 'batch sent', table: 'public.orders', rows: 3 })
  assert.is(second!.msg, 'line one\nline two')
})

test('no name can forge a line, a field or a colour of the log', async () => {
  const text = await logged(`{ level: 'info', format: 'text' }`)
  assert.not.match(text, /^[\d:.]{12} producer forged/m)
  assert.match(
    text,
    /^[\d:.]{12} producer warn odd\n {4}12:00:00\.000 producer forged table="a\\n12:00:00\.000 producer forged"/m,
  )
  assert.match(text, / esc=\\u001b\[2J\n {4}column: x level="y"$/m)
  const error = new MillraceError('INTERNAL', {
    what: 'table a\n  next:  DROP',
    where: 'b\u001b[1m',
    next: 'c\nINTERNAL: d',
  })
  assert.is(error.toText(), 'INTERNAL: table a\n    next:  DROP\n  where: b\\u001b[1m\n  next:  c\n    INTERNAL: d')
})

test('a statement in a field can be copied and pasted unchanged', async () => {
  const next = `ALTER TABLE "public"."x" ADD CHECK (a <> 'b')`
  const body = `import { openLog } from ${importPath('runtime/log.ts')}
    openLog('producer', { level: 'info', format: 'text' }).warn('stopped', { next: ${JSON.stringify(next)}, table: 'x' })`
  const { stderr } = await startProgram([join(writeFixture({ 'main.ts': body }), 'main.ts')]).ended
  assert.ok(stderr.endsWith(`producer warn stopped table=x\n    next: ${next}\n`), stderr)
})

test('a statement in a message shows none of its text literals, also when it is truncated inside one', () => {
  const shown = statementText(`SELECT count()\n  FROM t WHERE a = 'Ada''s' AND b IN ('x\\'y', 'z') AND c = "d"`)
  assert.is(shown, `SELECT count() FROM t WHERE a = '…' AND b IN ('…', '…') AND c = "d"`)
  assert.is(statementText(`INSERT INTO t VALUES ('${'secret '.repeat(40)}')`), "INSERT INTO t VALUES ('…')")
  assert.is(statementText("SELECT 'secret that has no en"), "SELECT '…'")
})

test('text lines are short, name levels other than info and omit unknown fields', async () => {
  const text = await logged(`{ level: 'debug', format: 'text' }`)
  assert.match(text, /^[\d:.]{12} producer debug fine detail$/m)
  assert.match(text, /^[\d:.]{12} producer batch sent table=public\.orders rows=3$/m)
  assert.match(text, /^[\d:.]{12} producer error line one$/m)
})

test.run()

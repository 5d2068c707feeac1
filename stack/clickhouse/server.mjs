// stack/clickhouse/server: the ClickHouse library as a process of its own; its arguments are
// clickhouse-local's.
// Plain JavaScript, because it must run without a TypeScript loader beside it.
import { DataType, load, open } from 'ffi-rs'

const [libraryPath, ...options] = process.argv.slice(2)
// The library leaves silently when the first argument after the program's name is not an option.
const args = ['clickhouse', ...options]
open({ library: 'clickhouse', path: libraryPath })
load({
  library: 'clickhouse',
  funcName: 'chdb_query_cmdline',
  retType: DataType.External,
  paramsType: [DataType.I32, DataType.StringArray],
  paramsValue: [args.length, args],
})
process.stderr.write('the ClickHouse library returned\n')
process.exitCode = 1

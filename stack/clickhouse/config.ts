// stack/clickhouse/config: the settings of the local ClickHouse.

/** Above this the server refuses queries instead of taking the machine's memory. */
const maxServerMemoryBytes = 4 * 1024 ** 3

/**
 * The configuration file for data in `data` and a log at `log`.
 *
 * Small parts are merged ten at a time, not five, and without statistics that no query here uses: merging took half of the server's work.
 * The pool settings belong together: two threads leave the other core to inserts, and thresholds made for a pool of
 * sixteen would keep merges small and let mutations wait as soon as two tasks run.
 */
export function clickhouseConfig(data: string, log: string): string {
  return `<clickhouse>
  <path>${escapeXml(data)}/</path>
  <listen_host>127.0.0.1</listen_host>
  <logger><log>${escapeXml(log)}</log><size>16M</size><count>1</count></logger>
  <max_server_memory_usage>${maxServerMemoryBytes}</max_server_memory_usage>
  <mark_cache_size>268435456</mark_cache_size>
  <primary_index_cache_size>268435456</primary_index_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <max_connections>1024</max_connections>
  <background_schedule_pool_size>8</background_schedule_pool_size>
  <background_pool_size>2</background_pool_size>
  <background_merges_mutations_concurrency_ratio>2</background_merges_mutations_concurrency_ratio>
  <merge_tree>
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge>2</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
    <number_of_free_entries_in_pool_to_execute_mutation>2</number_of_free_entries_in_pool_to_execute_mutation>
    <auto_statistics_types></auto_statistics_types>
    <merge_selector_base>10</merge_selector_base>
    <min_parts_to_merge_at_once>10</min_parts_to_merge_at_once>
  </merge_tree>
  <timezone>UTC</timezone>
  <users_config>${escapeXml(usersPath(data))}</users_config>
</clickhouse>
`
}

/**
 * Its users: one, from this machine, without a password. Further ones, and roles, come from files in `<data>.users.d`, which are read when
 * the server starts: it has no other place to keep them, so that `CREATE USER` and `CREATE ROLE` are refused.
 */
export const clickhouseUsers = `<clickhouse>
  <profiles><default></default></profiles>
  <quotas><default></default></quotas>
  <users>
    <default>
      <password></password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <access_management>1</access_management>
    </default>
  </users>
</clickhouse>
`

/** Beside the data, not in it: ClickHouse takes directories in its own for databases. */
export function usersPath(data: string): string {
  return `${data}.users.xml`
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

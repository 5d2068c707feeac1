// stack/clickhouse/config: the settings of the embedded ClickHouse.

/** Above this memory the server refuses queries. */
const maxServerMemoryBytes = 4 * 1024 ** 3

/**
 * The configuration file for data in `data` and a log at `log`.
 *
 * Small parts are merged ten at a time instead of five, and without statistics, which no query here
 * uses. Merging took half of the server's CPU time before. The pool settings belong together: two
 * threads leave CPU time to inserts. With the default thresholds, which are for sixteen threads,
 * two running tasks would keep merges small and delay mutations.
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
 * One user without a password, for connections from this machine. Other users and roles come from
 * files in `<data>.users.d`, which the server reads at its start. The server refuses `CREATE USER`
 * and `CREATE ROLE`, because it has no other storage for them.
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

/** Beside the data, because ClickHouse treats directories in its data as databases. */
export function usersPath(data: string): string {
  return `${data}.users.xml`
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

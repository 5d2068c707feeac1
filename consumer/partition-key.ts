// consumer/partition-key: one text for a topic and a partition number, for maps.
// May know: nothing.

export function partitionKey(topic: string, partition: number): string {
  return `${topic}/${partition}`
}

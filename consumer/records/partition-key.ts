// consumer/records/partition-key: one text for a topic and a partition number, for maps.

export function partitionKey(topic: string, partition: number): string {
  return `${topic}/${partition}`
}

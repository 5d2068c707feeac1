// bench/processes: CPU time and peak memory of other processes, from /proc. Linux only.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

/** `sysconf(_SC_CLK_TCK)`, which is always 100 on Linux. */
const ticksPerSecond = 100

export interface ProcessUse {
  readonly cpuSeconds: number
  /** Peak resident memory of the largest process of the tree. */
  readonly peakRssMb: number
}

/** The process and its descendants. An ended process counts nothing. */
export function useOf(pid: number): ProcessUse {
  const family = familyOf(pid)
  return {
    cpuSeconds: family.reduce((sum, member) => sum + cpuSeconds(member), 0),
    peakRssMb: Math.round(Math.max(0, ...family.map(peakKb)) / 1024),
  }
}

/** Resets the peak memory. @see proc_pid_clear_refs(5) */
export function resetPeak(pid: number): void {
  for (const member of familyOf(pid)) writeFileSync(`/proc/${member}/clear_refs`, '5')
}

function familyOf(pid: number): number[] {
  const children = new Map<number, number[]>()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const parent = Number(statOf(Number(entry))?.[1] ?? -1)
    children.set(parent, [...(children.get(parent) ?? []), Number(entry)])
  }
  const family = [pid]
  for (const member of family) family.push(...(children.get(member) ?? []))
  return family
}

function cpuSeconds(pid: number): number {
  const stat = statOf(pid)
  return stat === undefined ? 0 : (Number(stat[11]) + Number(stat[12])) / ticksPerSecond
}

function peakKb(pid: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
  } catch {
    return 0
  }
}

/**
 * Fields of /proc/PID/stat after the command's closing parenthesis: state, ppid, …
 * @see proc_pid_stat(5)
 */
function statOf(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}

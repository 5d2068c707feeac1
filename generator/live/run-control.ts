// generator/live/run-control: controls the running simulation and reports its state.

import { MillraceError } from '../../runtime/errors.ts'
import type { Scenario, ScenarioKind } from '../shop/scenario.ts'
import type { ScenarioEffects } from '../shop/scenario-effects.ts'
import type { ShopSimulation } from '../shop/shop-simulation.ts'
import type { RateLimiter } from './rate-limiter.ts'

export interface Totals {
  /** Row changes committed since the start. */
  readonly changes: number
  /** New orders among them. */
  readonly orders: number
}

export interface ControlStatus extends Totals {
  readonly state: 'running' | 'paused' | 'waiting for Postgres'
  /** Row changes per second: the requested rate and the last measured one. */
  readonly rate: number
  readonly per_second: number
  readonly open_orders: number | null
  readonly scenario: RunningScenario | null
}

export interface RunningScenario {
  readonly kind: ScenarioKind
  readonly ends_at: string
}

export class Control {
  readonly limiter: RateLimiter
  totals: Totals = { changes: 0, orders: 0 }
  perSecond = 0
  /** The scenario that the next simulation continues if the connection to Postgres is lost now. */
  unfinished: ScenarioEffects | undefined
  #simulation: ShopSimulation | undefined

  constructor(limiter: RateLimiter) {
    this.limiter = limiter
  }

  /** The running simulation; undefined while Postgres is unreachable. */
  attach(simulation: ShopSimulation | undefined): void {
    this.#simulation = simulation
  }

  /** @throws {MillraceError} SCENARIO_RUNNING, NOT_FOUND, POSTGRES_UNREACHABLE */
  begin(scenario: Scenario): RunningScenario {
    const { effects } = this.#present()
    if (effects !== undefined) {
      throw new MillraceError('SCENARIO_RUNNING', {
        what: `the scenario ${effects.kind} runs until ${new Date(effects.until).toISOString()}`,
        next: 'wait for its end, or end it first',
      })
    }
    return describe(this.#present().begin(scenario, new Date()))
  }

  /** Ends the running scenario and returns its kind. @throws {MillraceError} NOT_FOUND */
  end(): RunningScenario {
    const simulation = this.#present()
    if (simulation.effects === undefined)
      throw new MillraceError('NOT_FOUND', { what: 'no scenario is running', next: 'start one first' })
    const ended = describe(simulation.effects)
    simulation.end(new Date())
    return ended
  }

  status(): ControlStatus {
    const effects = this.#simulation === undefined ? this.unfinished : this.#simulation.effects
    return {
      state: this.limiter.paused ? 'paused' : this.#simulation === undefined ? 'waiting for Postgres' : 'running',
      rate: this.limiter.perSecond,
      per_second: this.limiter.paused ? 0 : Math.round(this.perSecond),
      open_orders: this.#simulation?.openOrders ?? null,
      scenario: effects === undefined ? null : describe(effects),
      ...this.totals,
    }
  }

  #present(): ShopSimulation {
    if (this.#simulation !== undefined) return this.#simulation
    throw new MillraceError('POSTGRES_UNREACHABLE', {
      what: 'the simulation has not begun, or waits for Postgres',
      next: 'try again in a few seconds; the log says why Postgres does not answer',
    })
  }
}

function describe({ kind, until }: ScenarioEffects): RunningScenario {
  return { kind, ends_at: new Date(until).toISOString() }
}

// generator/shop/scenario: the kinds of scenarios and their settings.
// The HTTP API and the command line use these shapes.

import { z } from 'zod'

const seconds = z.int().min(1).max(86_400).meta({ description: 'How long it lasts, in seconds.' })

/** Each kind with its settings. Omitted settings are drawn from the seed. */
export const scenarioSchema = z.discriminatedUnion('kind', [
  z
    .strictObject({
      kind: z.literal('flash_sale'),
      seconds: seconds.default(60),
      category: z
        .string()
        .min(1)
        .max(200)
        .optional()
        .meta({ description: 'Category of the first level, such as Kitchen.' }),
      discount: z.int().min(1).max(90).default(30).meta({ description: 'Per cent off every price of the category.' }),
    })
    .meta({ description: 'A category is cheaper, and most orders are for it; afterwards prices are what they were.' }),
  z
    .strictObject({ kind: z.literal('returns_wave'), seconds: seconds.default(60) })
    .meta({ description: 'Delivered orders come back, many times as often as usual.' }),
  z
    .strictObject({
      kind: z.literal('campaign'),
      seconds: seconds.default(60),
      traffic_source: z.string().min(1).max(200).optional().meta({ description: 'Name of the traffic source.' }),
    })
    .meta({ description: 'One traffic source brings visitors and orders in numbers.' }),
  z
    .strictObject({
      kind: z.literal('price_review'),
      seconds: seconds.default(60),
    })
    .meta({ description: 'Prices change many times as often as usual.' }),
  z
    .strictObject({
      kind: z.literal('territory_reorganisation'),
      seconds: seconds.default(60),
      moves: z
        .int()
        .min(1)
        .max(50)
        .default(6)
        .meta({ description: 'Shops, and as many employees, that change territory.' }),
    })
    .meta({
      description:
        'A territory is renamed; shops and employees change territory, and more employees change it while the scenario runs.',
    }),
])

export type Scenario = z.output<typeof scenarioSchema>
export type ScenarioKind = Scenario['kind']

export const scenarioKinds: readonly ScenarioKind[] = scenarioSchema.options.map(option => option.shape.kind.value)

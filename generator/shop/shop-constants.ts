// generator/shop/shop-constants: the constants of the invented shop chain.
// Countries are ISO 3166-1 alpha-2; `weight` is a share of the orders.

export interface Territory {
  readonly name: string
  readonly region: string
  readonly country: string
  readonly weight: number
  readonly cities: readonly string[]
}

export const territories: readonly Territory[] = [
  { name: 'Germany North', region: 'North', country: 'DE', weight: 11, cities: ['Hamburg', 'Bremen', 'Kiel'] },
  { name: 'Germany East', region: 'East', country: 'DE', weight: 9, cities: ['Berlin', 'Leipzig', 'Dresden'] },
  { name: 'Germany South', region: 'South', country: 'DE', weight: 14, cities: ['München', 'Stuttgart', 'Nürnberg'] },
  { name: 'Germany West', region: 'West', country: 'DE', weight: 13, cities: ['Köln', 'Düsseldorf', 'Essen'] },
  { name: 'Austria', region: 'Alps', country: 'AT', weight: 6, cities: ['Wien', 'Graz', 'Linz'] },
  { name: 'Switzerland', region: 'Alps', country: 'CH', weight: 5, cities: ['Zürich', 'Genève', 'Basel'] },
  { name: 'France North', region: 'North', country: 'FR', weight: 10, cities: ['Paris', 'Lille', 'Rouen'] },
  { name: 'France South', region: 'South', country: 'FR', weight: 7, cities: ['Lyon', 'Marseille', 'Toulouse'] },
  { name: 'Netherlands', region: 'Lowlands', country: 'NL', weight: 8, cities: ['Amsterdam', 'Rotterdam', 'Utrecht'] },
  { name: 'Belgium', region: 'Lowlands', country: 'BE', weight: 4, cities: ['Bruxelles', 'Antwerpen', 'Gent'] },
  { name: 'Poland', region: 'East', country: 'PL', weight: 8, cities: ['Warszawa', 'Kraków', 'Gdańsk'] },
  { name: 'Denmark', region: 'North', country: 'DK', weight: 5, cities: ['København', 'Århus', 'Odense'] },
]

export interface Category {
  readonly name: string
  /** Share of the delivered orders of its products that are returned. */
  readonly returnShare: number
  readonly subcategories: readonly {
    readonly name: string
    /** Least and highest price, in cents. */
    readonly cents: readonly [number, number]
    readonly nouns: readonly string[]
  }[]
}

export const categories: readonly Category[] = [
  {
    name: 'Home',
    returnShare: 0.045,
    subcategories: [
      { name: 'Lighting', cents: [1_490, 24_900], nouns: ['Lamp', 'Lantern', 'Spotlight'] },
      { name: 'Textiles', cents: [690, 9_900], nouns: ['Blanket', 'Cushion', 'Towel'] },
      { name: 'Furniture', cents: [4_900, 89_900], nouns: ['Chair', 'Shelf', 'Table'] },
    ],
  },
  {
    name: 'Kitchen',
    returnShare: 0.035,
    subcategories: [
      { name: 'Cookware', cents: [1_290, 19_900], nouns: ['Pan', 'Pot', 'Casserole'] },
      { name: 'Tableware', cents: [390, 5_900], nouns: ['Plate', 'Bowl', 'Mug'] },
      { name: 'Appliances', cents: [2_990, 49_900], nouns: ['Kettle', 'Mixer', 'Toaster'] },
    ],
  },
  {
    name: 'Garden',
    returnShare: 0.02,
    subcategories: [
      { name: 'Tools', cents: [890, 12_900], nouns: ['Spade', 'Rake', 'Shears'] },
      { name: 'Plants', cents: [290, 4_900], nouns: ['Seeds', 'Shrub', 'Herbs'] },
    ],
  },
  {
    name: 'Sports',
    returnShare: 0.095,
    subcategories: [
      { name: 'Outdoor', cents: [1_990, 39_900], nouns: ['Tent', 'Backpack', 'Bottle'] },
      { name: 'Fitness', cents: [990, 29_900], nouns: ['Mat', 'Dumbbell', 'Rope'] },
    ],
  },
  {
    name: 'Office',
    returnShare: 0.012,
    subcategories: [
      { name: 'Paper', cents: [190, 2_900], nouns: ['Notebook', 'Calendar', 'Folder'] },
      { name: 'Desk', cents: [490, 14_900], nouns: ['Pen', 'Organiser', 'Stand'] },
    ],
  },
]

export interface TrafficRates {
  readonly channel: 'direct' | 'search' | 'email' | 'social' | 'partner'
  /** Share of the online orders from this source. */
  readonly weight: number
  /** Share of its visits that end in an order. */
  readonly conversion: number
  /** Average cost of a visit. */
  readonly cents: number
}

export const trafficSources: readonly ({ readonly name: string } & TrafficRates)[] = [
  { name: 'Typed in', channel: 'direct', weight: 24, conversion: 0.05, cents: 0 },
  { name: 'Search', channel: 'search', weight: 30, conversion: 0.03, cents: 0 },
  { name: 'Search advertisement', channel: 'search', weight: 14, conversion: 0.035, cents: 62 },
  { name: 'Newsletter', channel: 'email', weight: 12, conversion: 0.06, cents: 2 },
  { name: 'Photo network', channel: 'social', weight: 9, conversion: 0.012, cents: 35 },
  { name: 'Video network', channel: 'social', weight: 5, conversion: 0.009, cents: 28 },
  { name: 'Price comparison', channel: 'partner', weight: 4, conversion: 0.025, cents: 41 },
  { name: 'Partner shops', channel: 'partner', weight: 2, conversion: 0.02, cents: 15 },
]

/** Share of orders per month, January first: low in late winter, high before the holidays. */
export const monthWeights = [0.85, 0.8, 0.9, 0.95, 1, 0.95, 0.9, 0.9, 1, 1.05, 1.35, 1.5]

/** Share per day of the week, Sunday first. */
export const weekdayWeights = [0.8, 1.05, 1, 1, 1.05, 1.15, 1.1]

/** Share per hour of the day in UTC: low at night, highest in the evening. */
export const hourWeights = [2, 1, 1, 1, 1, 2, 4, 7, 10, 12, 13, 13, 14, 13, 12, 12, 13, 15, 18, 20, 18, 13, 8, 4]

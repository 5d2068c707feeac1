// generator/shop/person: invented people.
// Faker is seeded before each use, so results do not depend on earlier uses.

import { faker } from '@faker-js/faker/locale/en'
import type { Cell } from '../../postgres/client/copy-in.ts'
import { cumulate, type Random } from './random.ts'
import { territories } from './shop-constants.ts'

/** Columns of shop.customers, in the order of `Customer.cells`. */
export const customerColumns = [
  'customer_id',
  'full_name',
  'email',
  'phone',
  'birth_date',
  'city',
  'country',
  'marketing_consent',
  'created_at',
  'updated_at',
] as const

export interface Customer {
  readonly id: number
  /** Index of the territory the customer lives in. */
  readonly territory: number
  readonly cells: readonly Cell[]
}

export interface Home {
  /** Index of the territory. */
  readonly territory: number
  readonly city: string
  readonly country: string
}

const territoryWeights = cumulate(territories.map(({ weight }) => weight))

export function personName(random: Random): string {
  faker.seed(random.bits())
  return faker.person.fullName()
}

export function randomHome(random: Random): Home {
  const territory = random.weighted(territoryWeights)
  const { cities, country } = territories[territory]!
  return { territory, city: random.pick(cities), country }
}

/** `writtenAt` is the time of the last write, if it is not the registration. */
export function makeCustomer(random: Random, id: number, createdAt: Date, writtenAt = createdAt): Customer {
  const { territory, city, country } = randomHome(random)
  const name = personName(random)
  const phone = random.chance(0.7) ? faker.phone.number({ style: 'international' }) : null
  const birthday = faker.date
    .birthdate({ mode: 'age', min: 18, max: 85, refDate: createdAt })
    .toISOString()
    .slice(0, 10)
  const birthDate = random.chance(0.6) ? birthday : null
  const time = createdAt.toISOString()
  const email = `${name.toLowerCase().replace(/[^a-z]+/g, '.')}.${id}@mail.example`
  const consent = random.chance(0.4)
  const cells = [id, name, email, phone, birthDate, city, country, consent, time, writtenAt.toISOString()]
  return { id, territory, cells }
}

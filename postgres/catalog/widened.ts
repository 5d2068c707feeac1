// postgres/catalog/widened: changes of a column's type that leave every value as it was: same bytes, same text, and no row is written again.

export interface DeclaredType {
  readonly typeOid: number
  /** −1 where there is none. */
  readonly typeModifier: number
}

const text = 25
const varchar = 1043
/** Types whose modifier is a limit that values stay below, or a number of digits that they are cut to. */
const limited: ReadonlySet<number> = new Set([
  varchar,
  1562 /* varbit */,
  1083 /* time */,
  1114,
  1184,
  1266 /* timetz */,
])

/**
 * Whether a type is the other one with more room. `numeric` is none of them, because downstream its digits are part of the type; `cidr`
 * is none either, because it prints a netmask that `inet` leaves out.
 * @see https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
 */
export function isWidened(was: DeclaredType, is: DeclaredType): boolean {
  if (was.typeOid === is.typeOid) {
    if (!limited.has(was.typeOid)) return false
    return is.typeModifier === -1 || (was.typeModifier !== -1 && is.typeModifier >= was.typeModifier)
  }
  if (was.typeOid === varchar) return is.typeOid === text
  return was.typeOid === text && is.typeOid === varchar && is.typeModifier === -1
}

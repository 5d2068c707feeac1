// postgres/catalog/widened: changes of a column's type that keep every value and rewrite no row.

export interface DeclaredType {
  readonly typeOid: number
  /** −1 where the type has no modifier. */
  readonly typeModifier: number
}

const text = 25
const varchar = 1043
/** Types whose modifier is an upper limit of a value's length, or a number of digits. */
const limited: ReadonlySet<number> = new Set([
  varchar,
  1562 /* varbit */,
  1083 /* time */,
  1114,
  1184,
  1266 /* timetz */,
])

/**
 * Whether the new type is the old one with more room. `numeric` is not on the list, because its
 * digits are part of the type downstream. `cidr` is not on the list, because it prints a netmask
 * that `inet` leaves out.
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

/** Strings, numbers, booleans and null: their value, and their spelling where it is not the usual one. */

import type { Snapshot } from "../../shared/src/contract.ts"

export function describeLeaf(raw: string): { value: unknown; raw?: string } {
  // Nothing to unescape, so nothing to escape either.
  if (raw[0] === '"' && !raw.includes("\\")) return { value: raw.slice(1, -1) }
  const value = storable(JSON.parse(raw))
  return JSON.stringify(value) === raw ? { value } : { value, raw }
}

/** `raw` is only a spelling: it does not count if it spells another value. */
export function spell({ value = null, raw }: Snapshot): string {
  if (typeof raw === "string" && spells(raw, value)) return raw
  return JSON.stringify(value)
}

function spells(raw: string, value: unknown): boolean {
  try {
    return storable(JSON.parse(raw)) === value
  } catch {
    return false
  }
}

/** What a snapshot can hold: whole characters, finite numbers. */
function storable(value: unknown): unknown {
  if (typeof value === "number" && !Number.isFinite(value)) {
    return Math.sign(value) * Number.MAX_VALUE
  }
  if (typeof value === "number") return value === 0 ? 0 : value
  if (typeof value !== "string") return value
  return value.replace(
    /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g,
    "\ufffd",
  )
}

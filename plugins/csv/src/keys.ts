/** Rows that are known by one of their cells. Two with the same key are told apart by the rest. */

import { escapeToken } from "../../shared/src/ids.ts"
import { matchSequences } from "../../shared/src/sequence.ts"

/** The id of a row, or what its id begins with if others have the same. */
export function keyOfRow(cells: readonly string[], column: number): string {
  // Ids are not empty; a key that is `~` is written `~0`.
  return escapeToken(cells[column] ?? "") || "~"
}

/** As `matchSequences`, by key. Rows whose id is none, from before there was a key column, are new. */
export function matchByKey(
  before: readonly { id: string; text: string }[],
  texts: readonly string[],
  keys: readonly string[],
): Int32Array {
  const groups = new Map<string, number[]>()
  before.forEach(({ id }, index) => add(groups, id.replace(/~n\d+$/, ""), index))
  const wanted = new Map<string, number[]>()
  keys.forEach((key, index) => add(wanted, key, index))

  const matches = new Int32Array(keys.length).fill(-1)
  for (const [key, places] of wanted) {
    const olds = groups.get(key) ?? []
    if (olds.length === 1 && places.length === 1) {
      matches[places[0] as number] = olds[0] as number
      continue
    }
    const found = matchSequences(
      olds.map((index) => before[index]!.text),
      places.map((index) => texts[index] as string),
      { positional: true },
    )
    found.forEach((old, k) => {
      if (old >= 0) matches[places[k] as number] = olds[old] as number
    })
  }
  return matches
}

function add(groups: Map<string, number[]>, key: string, index: number): void {
  const group = groups.get(key)
  if (group) group.push(index)
  else groups.set(key, [index])
}

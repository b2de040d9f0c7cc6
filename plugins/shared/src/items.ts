/** Items of a file that have an id, a place and a text: which are old ones, and what the new are called. */

import { hash, unusedId } from "./ids.ts"
import { assignOrder, comparePlaced } from "./order.ts"

export interface Item {
  readonly id: string
  readonly order?: string | undefined
  readonly text: string
}

export interface Identified {
  readonly id: string
  readonly order: string
  /** What it was; absent if it is new. */
  readonly old: number | undefined
}

/**
 * `before` in its order (see `inOrder`), `texts` as they are now, `matches` as `matchSequences` found
 * them. `name` makes a new item's id, of a hash or of what it is.
 */
export function identify(
  before: readonly Item[],
  texts: readonly string[],
  matches: Int32Array,
  name: (hash: string, index: number) => string = (text) => text,
): Identified[] {
  const old = (index: number): number | undefined =>
    (matches[index] as number) < 0 ? undefined : (matches[index] as number)
  const orders = assignOrder(
    texts.map((_, index) => {
      const known = old(index)
      return known === undefined ? {} : (before[known] as Item)
    }),
  )
  const taken = new Set(before.map((item) => item.id))
  return texts.map((text, index) => {
    const known = old(index)
    const order = orders[index] as string
    const id =
      known === undefined
        ? // With its place: the same line written at two places by two people is two lines.
          unusedId(name(hash(`${order}\n${text}`), index), taken)
        : (before[known] as Item).id
    return { id, order, old: known }
  })
}

export function inOrder<T extends { id: string; order?: string | undefined }>(items: T[]): T[] {
  return items.sort(comparePlaced)
}

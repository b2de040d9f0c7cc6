/**
 * Which item of a new sequence is which of an old one.
 *
 * Equal items first: those that keep their place, then those that moved. What is left is compared:
 * an item that was edited where it stood, or edited and moved, keeps its identity as well.
 */

export interface Likeness {
  /** 0: nothing in common, 1: the same. Absent: judged by the text. */
  similarity?: (before: number, after: number) => number
  /** As many items gone as come at one place, none of them alike: each is an edit of the other. */
  positional: boolean | ((before: number, after: number) => boolean)
}

/** For each new item, the index of the old one that it is, or -1. */
export function matchSequences(
  before: readonly string[],
  after: readonly string[],
  { similarity = textLikeness(before, after), positional }: Likeness,
): Int32Array {
  const found = new Int32Array(after.length).fill(-1)
  if (before.length === 0 || after.length === 0) return found
  const used = new Uint8Array(before.length)
  const pair = (b: number, a: number): void => {
    found[a] = b
    used[b] = 1
  }

  const [old, fresh] = interned(before, after)
  matchInPlace(old, fresh, pair)
  const placed = Int32Array.from(found)
  matchMoved(old, fresh, found, used, pair)
  matchEdited(placed, found, used, similarity, positional, pair)
  matchEditedAndMoved(found, used, similarity, pair)
  return found
}

/** How much two texts have in common: twice the common parts over all parts. */
export function textLikeness(
  before: readonly string[],
  after: readonly string[],
): (b: number, a: number) => number {
  const parts = [new Map<number, Parts>(), new Map<number, Parts>()] as const
  const partsOf = (side: 0 | 1, index: number): Parts => {
    let known = parts[side].get(index)
    if (!known) {
      known = partsOfText((side === 0 ? before : after)[index] as string)
      parts[side].set(index, known)
    }
    return known
  }
  return (b, a) => {
    const [one, other] = [partsOf(0, b), partsOf(1, a)]
    return one.pairs && other.pairs ? inCommon(one.pairs, other.pairs) : inCommon(one.words, other.words)
  }
}

type Pair = (before: number, after: number) => void

/** Equal texts get equal numbers: they are compared often. */
function interned(before: readonly string[], after: readonly string[]): [Int32Array, Int32Array] {
  const numbers = new Map<string, number>()
  const number = (text: string): number => {
    let known = numbers.get(text)
    if (known === undefined) numbers.set(text, (known = numbers.size))
    return known
  }
  return [Int32Array.from(before, number), Int32Array.from(after, number)]
}

/** Equal items in the same order: around those that are unique, again between them, and so on. */
function matchInPlace(old: Int32Array, fresh: Int32Array, pair: Pair): void {
  const ranges: [number, number, number, number][] = [[0, old.length, 0, fresh.length]]
  for (let range = ranges.pop(); range !== undefined; range = ranges.pop()) {
    let [b0, b1, a0, a1] = range
    while (b0 < b1 && a0 < a1 && old[b0] === fresh[a0]) pair(b0++, a0++)
    while (b0 < b1 && a0 < a1 && old[b1 - 1] === fresh[a1 - 1]) pair(--b1, --a1)
    if (b0 === b1 || a0 === a1) continue

    const anchors = uniqueAnchors(old, fresh, b0, b1, a0, a1)
    if (anchors.length > 0) {
      let [b, a] = [b0, a0]
      for (const [anchorB, anchorA] of anchors) {
        ranges.push([b, anchorB, a, anchorA])
        pair(anchorB, anchorA)
        ;[b, a] = [anchorB + 1, anchorA + 1]
      }
      ranges.push([b, b1, a, a1])
    } else if ((b1 - b0) * (a1 - a0) <= TABLE_LIMIT) {
      longestCommon(b1 - b0, a1 - a0, (b, a) => (old[b0 + b] === fresh[a0 + a] ? 1 : 0), (b, a) =>
        pair(b0 + b, a0 + a),
      )
    }
  }
}

/** Items that both ranges have once, those of them that are in the same order in both. */
function uniqueAnchors(
  old: Int32Array,
  fresh: Int32Array,
  b0: number,
  b1: number,
  a0: number,
  a1: number,
): [number, number][] {
  const once = (sequence: Int32Array, from: number, to: number): Map<number, number> => {
    const places = new Map<number, number>()
    for (let at = from; at < to; at += 1) {
      const number = sequence[at] as number
      places.set(number, places.has(number) ? -1 : at)
    }
    return places
  }
  const places = once(old, b0, b1)
  const candidates: [number, number][] = []
  for (const [number, a] of once(fresh, a0, a1)) {
    const b = places.get(number)
    if (a >= 0 && b !== undefined && b >= 0) candidates.push([b, a])
  }
  candidates.sort((x, y) => x[1] - y[1])

  const tails: number[] = []
  const previous = new Int32Array(candidates.length).fill(-1)
  candidates.forEach(([b], at) => {
    let [low, high] = [0, tails.length]
    while (low < high) {
      const probe = (low + high) >>> 1
      if ((candidates[tails[probe] as number] as [number, number])[0] < b) low = probe + 1
      else high = probe
    }
    previous[at] = low > 0 ? (tails[low - 1] as number) : -1
    tails[low] = at
  })
  const anchors: [number, number][] = []
  for (let at = tails.at(-1) ?? -1; at >= 0; at = previous[at] as number) {
    anchors.push(candidates[at] as [number, number])
  }
  return anchors.reverse()
}

/** The pairs of an alignment that keeps the order and has the greatest sum of weights. */
function longestCommon(
  rows: number,
  columns: number,
  weight: (row: number, column: number) => number,
  pair: Pair,
): void {
  const width = columns + 1
  const best = new Float64Array((rows + 1) * width)
  const weights = new Float64Array(rows * columns)
  for (let row = rows - 1; row >= 0; row -= 1) {
    for (let column = columns - 1; column >= 0; column -= 1) {
      const here = weight(row, column)
      weights[row * columns + column] = here
      const both = here > 0 ? here + (best[(row + 1) * width + column + 1] as number) : 0
      best[row * width + column] = Math.max(
        both,
        best[(row + 1) * width + column] as number,
        best[row * width + column + 1] as number,
      )
    }
  }
  let [row, column] = [0, 0]
  while (row < rows && column < columns) {
    const here = weights[row * columns + column] as number
    const value = best[row * width + column] as number
    if (here > 0 && value === here + (best[(row + 1) * width + column + 1] as number)) {
      pair(row++, column++)
    } else if (value === best[(row + 1) * width + column]) row += 1
    else column += 1
  }
}

/** Equal items wherever they are now. */
function matchMoved(
  old: Int32Array,
  fresh: Int32Array,
  found: Int32Array,
  used: Uint8Array,
  pair: Pair,
): void {
  const waiting = new Map<number, number[]>()
  for (let b = old.length - 1; b >= 0; b -= 1) {
    if (used[b]) continue
    const places = waiting.get(old[b] as number)
    if (places) places.push(b)
    else waiting.set(old[b] as number, [b])
  }
  for (let a = 0; a < fresh.length; a += 1) {
    if ((found[a] as number) >= 0) continue
    const b = waiting.get(fresh[a] as number)?.pop()
    if (b !== undefined) pair(b, a)
  }
}

/** Items that changed where they stood: between the same neighbours. */
function matchEdited(
  placed: Int32Array,
  found: Int32Array,
  used: Uint8Array,
  similarity: (b: number, a: number) => number,
  positional: Likeness["positional"],
  pair: Pair,
): void {
  const alike = (b: number, a: number): number => {
    const value = similarity(b, a)
    return value >= ALIKE_IN_PLACE ? value : 0
  }
  for (const [b0, b1, a0, a1] of gaps(placed, used.length)) {
    const olds = indexes(b0, b1, (b) => !used[b])
    const news = indexes(a0, a1, (a) => (found[a] as number) < 0)
    if (olds.length === 0 || news.length === 0) continue
    const pairAt = (b: number, a: number): void => pair(olds[b] as number, news[a] as number)
    if (olds.length * news.length <= COMPARISON_LIMIT) {
      const weight = (b: number, a: number): number => alike(olds[b] as number, news[a] as number)
      longestCommon(olds.length, news.length, weight, pairAt)
    } else {
      greedyAlignment(olds, news, alike, pair)
    }
    if (!positional) continue
    // What is like nothing is an edit all the same, if its neighbours say that it stands where it stood.
    const place = new Map(olds.map((b, index) => [b, index]))
    const within = Int32Array.from(news, (a) => place.get(found[a] as number) ?? -1)
    for (const [c0, c1, d0, d1] of gaps(within, olds.length)) {
      if (c1 - c0 !== d1 - d0) continue
      for (let k = 0; k < c1 - c0; k += 1) {
        const [b, a] = [olds[c0 + k] as number, news[d0 + k] as number]
        if (positional === true || positional(b, a)) pair(b, a)
      }
    }
  }
}

/** Two long runs, without comparing everything with everything. */
function greedyAlignment(
  olds: readonly number[],
  news: readonly number[],
  alike: (b: number, a: number) => number,
  pair: Pair,
): void {
  let from = 0
  for (let k = 0; k < news.length && from < olds.length; k += 1) {
    for (let probe = from; probe < Math.min(from + LOOK_AHEAD, olds.length); probe += 1) {
      if (alike(olds[probe] as number, news[k] as number) > 0) {
        pair(olds[probe] as number, news[k] as number)
        from = probe + 1
        break
      }
    }
  }
}

/** The most similar first, if there are not too many to compare. */
function matchEditedAndMoved(
  found: Int32Array,
  used: Uint8Array,
  similarity: (b: number, a: number) => number,
  pair: Pair,
): void {
  const olds = indexes(0, used.length, (b) => !used[b])
  const news = indexes(0, found.length, (a) => (found[a] as number) < 0)
  if (olds.length * news.length > COMPARISON_LIMIT) return
  const candidates = olds.flatMap((b) =>
    news.map((a) => ({ b, a, value: similarity(b, a) })).filter(({ value }) => value >= ALIKE_ANYWHERE),
  )
  candidates.sort((x, y) => y.value - x.value || x.a - y.a || x.b - y.b)
  for (const { b, a } of candidates) {
    if (!used[b] && (found[a] as number) < 0) pair(b, a)
  }
}

/** What lies between neighbours that are matched in order: ranges of the old, ranges of the new. */
function* gaps(matches: Int32Array, oldLength: number): Generator<[number, number, number, number]> {
  let [b, a] = [0, 0]
  for (let at = 0; at <= matches.length; at += 1) {
    const match = at < matches.length ? (matches[at] as number) : oldLength
    if (match < b) continue
    if (match > b || at > a) yield [b, match, a, at]
    ;[b, a] = [match + 1, at + 1]
  }
}

function indexes(from: number, to: number, wanted: (index: number) => boolean): number[] {
  const list: number[] = []
  for (let index = from; index < to; index += 1) if (wanted(index)) list.push(index)
  return list
}

interface Parts {
  words: Bag
  /** Of a short text: one character with the next. */
  pairs: Bag | undefined
}

interface Bag {
  counts: Map<string, number>
  total: number
}

function partsOfText(text: string): Parts {
  const words = bag(text.match(/[^\s]+/g) ?? [])
  if (text.length > SHORT) return { words, pairs: undefined }
  const pairs: string[] = []
  for (let at = 0; at + 1 < text.length; at += 1) pairs.push(text.slice(at, at + 2))
  return { words, pairs: bag(pairs) }
}

function bag(parts: readonly string[]): Bag {
  const counts = new Map<string, number>()
  for (const part of parts) counts.set(part, (counts.get(part) ?? 0) + 1)
  return { counts, total: parts.length }
}

function inCommon(a: Bag, b: Bag): number {
  if (a.total + b.total === 0) return 0
  const [small, large] = a.counts.size <= b.counts.size ? [a, b] : [b, a]
  let shared = 0
  for (const [part, times] of small.counts) shared += Math.min(times, large.counts.get(part) ?? 0)
  return (2 * shared) / (a.total + b.total)
}

const ALIKE_IN_PLACE = 0.4
const ALIKE_ANYWHERE = 0.6
const TABLE_LIMIT = 1_000_000
const COMPARISON_LIMIT = 10_000
const LOOK_AHEAD = 8
const SHORT = 400

/**
 * Places in a sequence, as strings that compare like the places: between any two is room for more,
 * so inserting or moving one item changes the key of that item alone.
 *
 * A key is a whole number, its first letter saying how many digits follow (`a0` … `az`, `b00` …
 * upwards, `Zz`, `Yzz` … downwards), and then a fraction that does not end in 0. Digits are those of
 * base 62 in the order of their character codes; keys are compared by code unit.
 */

export interface Placed {
  /** Where it was; absent if it is new. */
  readonly order?: string | undefined
  /** Decides between equal keys, which merging two versions can make. */
  readonly id?: string | undefined
}

/**
 * The keys of a sequence: as few as possible are new. Each item's key is greater than the one before,
 * or equal if both had it before and their ids are in order.
 */
export function assignOrder(items: readonly Placed[]): string[] {
  const stays = longestIncreasing(items)
  const keys = new Array<string>(items.length)
  let previous: string | undefined
  let from = 0
  for (let at = 0; at <= items.length; at += 1) {
    const item = items[at]
    if (at < items.length && !stays[at]) continue
    const next = item?.order
    // No room between equal keys: the later one moves on.
    if (next !== undefined && previous !== undefined && at > from && next <= previous) continue
    const fresh = keysBetween(previous, next, at - from)
    for (let k = 0; k < fresh.length; k += 1) keys[from + k] = fresh[k] as string
    if (item === undefined || next === undefined) break
    keys[at] = next
    previous = next
    from = at + 1
  }
  return keys
}

/** By key, then by id; what has no key is last. */
export function comparePlaced(a: Placed, b: Placed): number {
  if (a.order !== b.order) {
    if (a.order === undefined) return 1
    if (b.order === undefined) return -1
    return a.order < b.order ? -1 : 1
  }
  const [first, second] = [a.id ?? "", b.id ?? ""]
  return first < second ? -1 : first > second ? 1 : 0
}

/** `count` keys, ascending, after `low` and before `high`, where given. */
export function keysBetween(
  low: string | undefined,
  high: string | undefined,
  count: number,
): string[] {
  if (count === 0) return []
  if (high === undefined) return iterate(count, low, (last) => keyBetween(last, undefined))
  if (low === undefined) {
    return iterate(count, high, (last) => keyBetween(undefined, last)).reverse()
  }
  const middle = keyBetween(low, high)
  if (count === 1) return [middle]
  const before = Math.floor((count - 1) / 2)
  return [
    ...keysBetween(low, middle, before),
    middle,
    ...keysBetween(middle, high, count - 1 - before),
  ]
}

export function isKey(key: unknown): key is string {
  if (typeof key !== "string" || !/^[A-Za-z][0-9A-Za-z]+$/.test(key)) return false
  const whole = wholeLength(key)
  if (key.length < whole || key === SMALLEST) return false
  return key.length === whole || !key.endsWith("0")
}

function iterate(
  count: number,
  start: string | undefined,
  step: (last: string | undefined) => string,
): string[] {
  const keys: string[] = []
  let last = start
  for (let k = 0; k < count; k += 1) {
    last = step(last)
    keys.push(last)
  }
  return keys
}

function keyBetween(low: string | undefined, high: string | undefined): string {
  if (low === undefined && high === undefined) return FIRST
  if (low === undefined) {
    const end = high as string
    const whole = wholeOf(end)
    if (whole < end) return whole
    // Below the smallest number there are only fractions of it.
    return decrement(whole) ?? whole + middle("", end.slice(whole.length))
  }
  const whole = wholeOf(low)
  if (high === undefined) return increment(whole) ?? whole + middle(low.slice(whole.length), undefined)
  if (whole === wholeOf(high)) {
    return whole + middle(low.slice(whole.length), high.slice(whole.length))
  }
  const next = increment(whole)
  if (next !== undefined && next < high) return next
  return whole + middle(low.slice(whole.length), undefined)
}

/** A fraction strictly between two; no `high` is one whole. */
function middle(low: string, high: string | undefined): string {
  let common = 0
  if (high !== undefined) while ((low[common] ?? "0") === high[common]) common += 1
  if (common > 0 && high !== undefined) {
    return high.slice(0, common) + middle(low.slice(common), high.slice(common))
  }
  const from = low === "" ? 0 : DIGITS.indexOf(low[0] as string)
  const to = high === undefined ? DIGITS.length : DIGITS.indexOf(high[0] as string)
  if (to - from > 1) return DIGITS[(from + to) >>> 1] as string
  if (high !== undefined && high.length > 1) return high[0] as string
  return (DIGITS[from] as string) + middle(low.slice(1), undefined)
}

/** The head and the digits that it promises. */
function wholeLength(key: string): number {
  const head = key.charCodeAt(0)
  return head >= A_SMALL ? head - A_SMALL + 2 : Z_LARGE - head + 2
}

function wholeOf(key: string): string {
  return key.slice(0, wholeLength(key))
}

function increment(whole: string): string | undefined {
  const digits = whole.slice(1).split("")
  for (let at = digits.length - 1; at >= 0; at -= 1) {
    const digit = DIGITS.indexOf(digits[at] as string) + 1
    if (digit < DIGITS.length) {
      digits[at] = DIGITS[digit] as string
      return whole[0] + digits.join("")
    }
    digits[at] = "0"
  }
  if (whole[0] === "Z") return FIRST
  if (whole[0] === "z") return undefined
  const head = String.fromCharCode(whole.charCodeAt(0) + 1)
  // One digit more above zero, one less below it.
  return head > "a" ? `${head}0${digits.join("")}` : head + digits.slice(1).join("")
}

function decrement(whole: string): string | undefined {
  const digits = whole.slice(1).split("")
  for (let at = digits.length - 1; at >= 0; at -= 1) {
    const digit = DIGITS.indexOf(digits[at] as string) - 1
    if (digit >= 0) {
      digits[at] = DIGITS[digit] as string
      return whole[0] + digits.join("")
    }
    digits[at] = LAST_DIGIT
  }
  if (whole[0] === "a") return `Z${LAST_DIGIT}`
  if (whole[0] === "A") return undefined
  const head = String.fromCharCode(whole.charCodeAt(0) - 1)
  return head < "Z" ? `${head}${LAST_DIGIT}${digits.join("")}` : head + digits.slice(1).join("")
}

/** Which items already stand in the order of their keys: as many as can. */
function longestIncreasing(items: readonly Placed[]): boolean[] {
  const stays = items.map((item) => isKey(item.order))
  const known = items.flatMap((_, at) => (stays[at] ? [at] : []))
  const inOrder = known.every(
    (at, k) => k === 0 || comparePlaced(items[known[k - 1] as number] as Placed, items[at] as Placed) < 0,
  )
  if (inOrder) return stays
  // tails[n]: where the best sequence of n + 1 items ends.
  const tails: number[] = []
  const before = new Map<number, number | undefined>()
  for (const at of known) {
    let [low, high] = [0, tails.length]
    while (low < high) {
      const probe = (low + high) >>> 1
      if (comparePlaced(items[tails[probe] as number] as Placed, items[at] as Placed) < 0) low = probe + 1
      else high = probe
    }
    before.set(at, tails[low - 1])
    tails[low] = at
  }
  stays.fill(false)
  for (let at = tails.at(-1); at !== undefined; at = before.get(at)) stays[at] = true
  return stays
}

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
const LAST_DIGIT = "z"
const FIRST = "a0"
const SMALLEST = `A${"0".repeat(26)}`
const A_SMALL = "a".charCodeAt(0)
const Z_LARGE = "Z".charCodeAt(0)

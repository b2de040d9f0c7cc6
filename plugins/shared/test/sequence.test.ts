import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { matchSequences } from "../src/sequence.ts"

const match = (before: string, after: string, positional = true): number[] =>
  [...matchSequences(before.split("|"), after.split("|"), { positional })]

test("every new item is at most one old one, and equal sequences are the same", () => {
  const items = fc.array(fc.constantFrom("a", "b", "c", "d e f", "d e g", "", "x y z", "x y"), { maxLength: 60 })
  fc.assert(
    fc.property(items, items, fc.boolean(), (before, after, positional) => {
      const found = [...matchSequences(before, after, { positional })]
      const used = found.filter((index) => index >= 0)
      assert.equal(new Set(used).size, used.length)
      assert.ok(used.every((index) => index < before.length))
      // As many as can be are the same item with the same text.
      for (const text of new Set(after)) {
        const [had, has] = [before, after].map((all) => all.filter((one) => one === text).length)
        const kept = found.filter((index, at) => after[at] === text && before[index] === text).length
        assert.ok(kept === Math.min(had as number, has as number), `${text}: ${kept}`)
      }
      const same = [...matchSequences(after, after, { positional })]
      assert.deepEqual(same, after.map((_, index) => index))
    }),
  )
})

test("kept, inserted, removed", () => {
  assert.deepEqual(match("a|b|c", "a|x|b|c"), [0, -1, 1, 2])
  assert.deepEqual(match("a|b|c", "a|c"), [0, 2])
})

test("moved", () => {
  assert.deepEqual(match("a|b|c|d", "d|a|b|c"), [3, 0, 1, 2])
})

test("edited where it stood", () => {
  assert.deepEqual(match("a|the old text|c", "a|the new text|c"), [0, 1, 2])
  assert.deepEqual(match("a|1|c", "a|2|c"), [0, 1, 2])
  assert.deepEqual(match("a|1|c", "a|2|c", false), [0, -1, 2])
})

test("edited and moved", () => {
  const [before, after] = ["one|two|three|a rather long line of text", "a rather longer line of text|one|two|three"]
  assert.deepEqual(match(before, after), [3, 0, 1, 2])
})

test("a hundred thousand items take well below a second", () => {
  const before = Array.from({ length: 100_000 }, (_, index) => `line ${index % 5000} ${index}`)
  const after = before.map((line, index) => (index % 7000 === 0 ? `${line}!` : line))
  const started = performance.now()
  const found = matchSequences(before, after, { positional: true })
  assert.ok(found.every((index, at) => index === at))
  assert.ok(performance.now() - started < 2000)
})

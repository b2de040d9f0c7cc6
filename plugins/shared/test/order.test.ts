import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { assignOrder, comparePlaced, isKey, keysBetween } from "../src/order.ts"

test("keys ascend, lie between their neighbours, and there is always room", () => {
  const step = fc.record({ at: fc.nat(), count: fc.integer({ min: 1, max: 90 }) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const keys: string[] = []
      for (const { at, count } of steps) {
        const place = at % (keys.length + 1)
        keys.splice(place, 0, ...keysBetween(keys[place - 1], keys[place], count))
      }
      assert.ok(keys.every(isKey))
      assert.ok(keys.every((key, index) => index === 0 || (keys[index - 1] as string) < key))
    }),
  )
})

test("keys stay short where work usually happens", () => {
  assert.deepEqual(keysBetween(undefined, undefined, 3), ["a0", "a1", "a2"])
  const many = keysBetween(undefined, undefined, 100_000)
  assert.equal(many.at(-1)?.length, 4)
  assert.ok(keysBetween("a0", "a1", 1000).every((key) => key.length <= 4))
  let typed = "a0"
  for (let line = 0; line < 100; line += 1) typed = keysBetween(typed, "a1", 1)[0] as string
  assert.ok(typed.length < 25, typed)
})

test("moving and inserting touch only what moved and what is new", () => {
  const placed = keysBetween(undefined, undefined, 1000).map((order, index) => ({ order, id: `${index}` }))
  const moved = [...placed.slice(0, 10), ...placed.slice(11, 500), placed[10]!, ...placed.slice(500)]
  const keys = assignOrder([{}, ...moved, {}])
  const changed = moved.filter(({ order }, index) => order !== keys[index + 1])
  assert.deepEqual(changed, [placed[10]])
})

test("any sequence of old and new items gets ascending keys, whatever the old ones were", () => {
  const item = fc.record({
    order: fc.option(fc.oneof(fc.constantFrom("a0", "a1", "Zz", "a1V", "b00"), fc.string()), { nil: undefined }),
  })
  fc.assert(
    fc.property(fc.array(item, { maxLength: 30 }), (items) => {
      const named = items.map((one, index) => ({ ...one, id: `${index}`.padStart(3, "0") }))
      const keys = assignOrder(named)
      assert.equal(keys.length, items.length)
      const result = keys.map((order, index) => ({ order, id: named[index]!.id }))
      assert.ok(result.every((one, index) => index === 0 || comparePlaced(result[index - 1]!, one) < 0))
      assert.ok(keys.every(isKey))
    }),
  )
})

test("equal keys stay as long as nothing comes between", () => {
  const twins = [{ order: "a0", id: "1" }, { order: "a0", id: "2" }, { order: "a0", id: "3" }]
  assert.deepEqual(assignOrder(twins), ["a0", "a0", "a0"])
  const keys = assignOrder([twins[0]!, {}, twins[1]!, twins[2]!])
  assert.ok(keys[0]! < keys[1]! && keys[1]! < keys[2]! && keys[2]! < keys[3]!)
})

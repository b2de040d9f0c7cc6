// What observed queries make of the order of things, on a scripted engine: answers that are late, commits in between, what they depend on.

import assert from "node:assert/strict"
import { test } from "node:test"
import { Kysely, sql } from "kysely"
import type { EngineEvents, ExecResult, LixEngine, ReadSet } from "../../src/index.js"
import { LixDialect } from "../../src/kysely/index.js"
import { Observer } from "../../src/lix/observe.js"
import { isSame } from "../../src/lix/same.js"
import { settled } from "../support/assert.js"

type Commit = EngineEvents["commit"]
type Answer = { rows: unknown[]; commitSeq: number; reads?: ReadSet; inTransaction?: boolean }

/** An engine whose answers are given by hand, and an observer on it. */
function scripted() {
  const listeners = new Set<(event: Commit) => void>()
  const waiting: { answer(answer: Answer): void; fail(error: Error): void }[] = []
  const engine = {
    exec: () =>
      new Promise<ExecResult>((resolve, reject) => {
        waiting.push({
          answer: ({ rows, commitSeq, reads = { anyCommit: true, reads: [] }, inTransaction = false }) =>
            resolve({ rows, columns: [], reads, state: { inTransaction, commitSeq, savedSeq: 0 } } as unknown as ExecResult),
          fail: reject,
        })
      }),
    on: (kind: string, listener: (event: Commit) => void) => {
      if (kind === "commit") listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  } as unknown as LixEngine
  const observer = new Observer(engine, new Kysely<never>({ dialect: new LixDialect({ engine }) }))
  const told: unknown[] = []
  return {
    observer,
    told,
    waiting,
    listeners,
    subscribe: (query = sql<unknown>`q`) => observer.observe(query).subscribe({ next: (rows) => told.push(rows), error: (error) => told.push(error), complete: () => told.push("complete") }),
    commit: (commitSeq: number, fields: Partial<Commit> = {}) => listeners.forEach((listener) => listener({ seq: commitSeq, commitSeq, changes: [], ...fields })),
    /** The next run, once it is asked for. */
    async run(): Promise<(typeof waiting)[number]> {
      for (let patience = 0; waiting.length === 0; patience++) {
        assert.ok(patience < 100, "nothing runs")
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
      return waiting.shift()!
    },
  }
}

test("a commit that came before the answer was made is in it; one that came after runs again", async () => {
  const { subscribe, commit, run, told, waiting } = scripted()
  subscribe()
  const first = await run()
  commit(5)
  first.answer({ rows: [1], commitSeq: 5 })
  await settled()
  assert.deepEqual(told, [[1]])
  assert.equal(waiting.length, 0)
  commit(6)
  const second = await run()
  commit(7)
  commit(8)
  second.answer({ rows: [2], commitSeq: 6 })
  ;(await run()).answer({ rows: [3], commitSeq: 8 })
  await settled()
  assert.deepEqual(told, [[1], [3]], "rows that are outdated are skipped")
})

test("under constant commits not everything is skipped, and the last is told", async () => {
  const { subscribe, commit, run, told } = scripted()
  subscribe()
  for (let seq = 1; seq <= 6; seq++) {
    const turn = await run()
    commit(seq)
    turn.answer({ rows: [seq], commitSeq: seq - 1 })
    await settled()
  }
  ;(await run()).answer({ rows: ["last"], commitSeq: 6 })
  await settled()
  assert.deepEqual(told, [[2], [4], [6], ["last"]])
})

test("a run depends on what it read, field by field; events that do not say everything concern every query", async () => {
  const read = { schemaKey: "note", versionId: "v", fileId: "", entityId: "e" }
  const change = { schema_key: "note", version_id: "v", file_id: "f", entity_id: "e" }
  const cases: [Partial<Commit>, ReadSet | undefined, boolean][] = [
    [{ changes: [change] as never }, { anyCommit: false, reads: [read] }, true],
    [{ changes: [{ ...change, schema_key: "other" }] as never }, { anyCommit: false, reads: [read] }, false],
    [{ changes: [{ ...change, version_id: "other" }] as never }, { anyCommit: false, reads: [read] }, false],
    [{ changes: [{ ...change, entity_id: "other" }] as never }, { anyCommit: false, reads: [read] }, false],
    [{ changes: [{ ...change, file_id: "other" }] as never }, { anyCommit: false, reads: [read] }, true],
    [{ changes: [{ ...change, file_id: "other" }] as never }, { anyCommit: false, reads: [{ ...read, fileId: "f" }] }, false],
    [{ changes: [change] as never }, { anyCommit: false, reads: [{ schemaKey: "", versionId: "", fileId: "f", entityId: "" }] }, true],
    [{ changes: [{ ...change, entity_id: "x" }, change] as never }, { anyCommit: false, reads: [{ ...read, entityId: "y" }, read] }, true],
    [{ changes: [] }, { anyCommit: false, reads: [read] }, false],
    [{ changes: [], truncated: true }, { anyCommit: false, reads: [read] }, true],
    [{ changes: [], anyRead: true }, { anyCommit: false, reads: [read] }, true],
    [{ changes: [] }, { anyCommit: true, reads: [] }, true],
    [{ changes: [change] as never }, { anyCommit: false, reads: [] }, false],
  ]
  for (const [index, [event, reads, runs]] of cases.entries()) {
    const { subscribe, commit, run, waiting, told } = scripted()
    subscribe()
    ;(await run()).answer({ rows: [], commitSeq: 0, ...(reads && { reads }) })
    await settled()
    commit(1, event)
    if (runs) (await run()).answer({ rows: [1], commitSeq: 1 })
    await settled()
    assert.equal(told.length, runs ? 2 : 1, `case ${index}`)
    assert.equal(waiting.length, 0)
  }
})

test("rows read inside of a transaction are not told; it is asked again", async () => {
  const { subscribe, run, told } = scripted()
  subscribe()
  ;(await run()).answer({ rows: ["uncommitted"], commitSeq: 0, inTransaction: true })
  ;(await run()).answer({ rows: ["committed"], commitSeq: 0 })
  await settled()
  assert.deepEqual(told, [["committed"]])
})

test("nobody listens to the engine when nobody subscribes, whatever order they come and go in", async () => {
  const { observer, subscribe, run, listeners, told, waiting } = scripted()
  const query = sql<unknown>`q`
  const [first, second] = [subscribe(query), subscribe(query)]
  first.unsubscribe()
  const turn = await run()
  assert.equal(listeners.size, 1)
  second.unsubscribe()
  assert.equal(listeners.size, 0)
  subscribe(query)
  turn.answer({ rows: ["of an earlier time"], commitSeq: 0 })
  const again = await run()
  again.answer({ rows: [1], commitSeq: 0 })
  await settled()
  assert.deepEqual(told, [[1]])
  observer.close()
  assert.equal(listeners.size, 0)
  assert.deepEqual(told, [[1], "complete"])
  assert.equal(waiting.length, 0)
})

test("an answer after a failure or the end tells nobody anything", async () => {
  const { observer, subscribe, run, told, listeners } = scripted()
  subscribe()
  const failing = await run()
  const error = new Error("no")
  failing.fail(error)
  await settled()
  assert.deepEqual(told, [error])
  assert.equal(listeners.size, 0)
  subscribe()
  const late = await run()
  observer.close()
  late.fail(new Error("closed"))
  await settled()
  assert.deepEqual(told, [error, "complete"])
})

test("results are the same or they are not", () => {
  const same: [unknown, unknown][] = [
    [[{ a: 1, b: [null, { c: "x" }] }], [{ b: [null, { c: "x" }], a: 1 }]],
    [[{ a: new Uint8Array([1, 2]) }], [{ a: new Uint8Array([1, 2]) }]],
    [[NaN], [NaN]],
    [[1n], [1n]],
  ]
  const different: [unknown, unknown][] = [
    [[{ a: 1 }], [{ a: "1" }]],
    [[{ a: 1 }], [{ a: 1 }, { a: 1 }]],
    [[{ a: new Uint8Array([1, 2]) }], [{ a: new Uint8Array([1, 3]) }]],
    [[{ a: new Uint8Array([]) }], [{ a: [] }]],
    [[{ a: {} }], [{ a: [] }]],
    [[{ a: undefined }], [{ b: undefined }]],
    [[{ a: null }], [{ a: {} }]],
    [[1n], [1]],
    [[0], [-0]],
  ]
  for (const [one, other] of same) assert.ok(isSame(one, other) && isSame(other, one))
  for (const [one, other] of different) assert.ok(!isSame(one, other) && !isSame(other, one))
})

/**
 * The host in a real browser: what it costs, what it gives away, and that every call settles
 * whatever becomes of the worker.
 */

import { createEngine, createMainMemoryEngine, createWorkerEngine, type EngineError, type EngineEvents, type InitOptions, type LixEngine } from "../../../src/index.js"
import type { Checks } from "./checks.js"
import { ENDLESS, failure, isOver, leavesPageAlone, longTasks, ok, rejects, rows, same, watchTraffic, within } from "./support.js"

export const HOST: Checks = {
  // ── Messages and buffers ─────────────────────────────────────────────────

  async "one exec is one message each way"() {
    const traffic = watchTraffic()
    const engine = createWorkerEngine()
    same(traffic.count(), { sent: 0, received: 0 })
    await engine.init()
    same(traffic.count(), { sent: 1, received: 1 }, "init")
    await engine.exec("select 1")
    same(traffic.count(), { sent: 1, received: 1 }, "a query")
    await engine.exec("create table t (a, b)")
    same(traffic.count(), { sent: 1, received: 1 }, "a schema change")
    for (let index = 0; index < 50; index++) await engine.exec("insert into t values (?, ?)", [index, "x"])
    same(traffic.count(), { sent: 50, received: 50 }, "awaited inserts")
    await Promise.all(Array.from({ length: 50 }, (_, index) => engine.exec("insert into t values (:a, :b)", { a: index, b: null })))
    same(traffic.count(), { sent: 50, received: 50 }, "inserts at once")
    await engine.exec(`${rows(100_000)} select i, i * 0.5, 'row ' || i from n`)
    same(traffic.count(), { sent: 1, received: 1 }, "100,000 rows")
    await rejects(engine.exec("select nowhere"), "INVALID/SQL_ERROR")
    same(traffic.count(), { sent: 1, received: 1 }, "a refused statement")
    await engine.execBatch(Array.from({ length: 500 }, (_, index) => ({ sql: "insert into t values (?, 1)", params: [index] })))
    same(traffic.count(), { sent: 1, received: 1 }, "a batch of 500")
    await rejects(engine.exec("select ?", [{}]), "INVALID/PARAM_INVALID")
    same(traffic.count(), { sent: 0, received: 0 }, "a parameter that cannot be bound")
    await engine.export()
    same(traffic.count(), { sent: 1, received: 1 }, "export")
    await engine.close()
    same(traffic.count(), { sent: 1, received: 1 }, "close")
  },

  async "a commit event is a message of its own, only when asked for"() {
    const traffic = watchTraffic()
    const engine = createWorkerEngine()
    await engine.init({ events: ["commit"] })
    const commits: number[] = []
    engine.on("commit", ({ commitSeq }) => commits.push(commitSeq))
    traffic.count()
    await engine.exec("create table t (a)")
    same(traffic.count(), { sent: 1, received: 2 })
    same(commits, [1], "the event comes before the answer")
    await engine.exec("select 1")
    same(traffic.count(), { sent: 1, received: 1 })
    await engine.close()
  },

  async "the page's buffers are gone once they are sent"() {
    const traffic = watchTraffic()
    const engine = createWorkerEngine()
    await engine.init()
    await engine.exec("create table t (a)")
    await engine.exec("insert into t values (?)", [new Uint8Array(100_000)])
    await engine.execBatch([{ sql: "select ?", params: ["text"] }])
    for await (const batch of engine.stream(`${rows(10_000)} select i from n`).batches()) ok(batch.length > 0, "an empty batch")
    await engine.export()
    await engine.close()
    ok(traffic.sent.length >= 8, "too little was sent to say anything")
    for (const { message, transfer, size } of traffic.sent) {
      ok(size > 0, "a frame without bytes")
      same(message.frame.byteLength, 0, "a frame was copied")
      same(transfer.includes(message.frame), true)
      same(Object.keys(message).sort(), message.attachments ? ["attachments", "frame", "v"] : ["frame", "v"])
      same((message as unknown as { v: number }).v, 1)
    }
  },

  async "a parameter's bytes stay the caller's own"() {
    const engine = await open()
    const bytes = new Uint8Array(3_000_000).fill(7)
    const { rows: [row] } = await engine.exec("select length(?) as n", [bytes])
    same([row, bytes.byteLength, bytes[2_999_999]], [{ n: 3_000_000 }, 3_000_000, 7])
    await engine.close()
  },

  async "the worker's buffers are gone once they are sent"() {
    const { engine, audits } = audited()
    await engine.init()
    await engine.exec("create table t (a)")
    await engine.exec("insert into t values (randomblob(2000000))")
    await engine.exec("select a from t")
    await engine.exec("select 1")
    await rejects(engine.exec("select nowhere"), "INVALID/SQL_ERROR")
    const image = await engine.export()
    const all = await audits(7)
    for (const [frame] of all) ok(frame!.size > 0, "a frame without bytes")
    same(all.flat().filter(({ detached }) => !detached), [], "buffers that were copied")
    same(all.at(-1)!.map(({ size }) => size).slice(1), [image.byteLength], "the image is the attachment, not a part of the frame")
    await engine.close()
  },

  async "a seed image is transferred: an ArrayBuffer, a whole view; a part is copied"() {
    const image = await seed()
    const size = image.byteLength
    const traffic = watchTraffic()
    const openWith = async (blob: NonNullable<InitOptions["blob"]>) => {
      const engine = createWorkerEngine()
      const opening = engine.init({ blob })
      const left = blob.byteLength
      await opening
      same((await engine.exec("select count(*) as n from t")).rows, [{ n: 100 }])
      await engine.close()
      return left
    }
    same(await openWith(image.slice(0)), 0, "an ArrayBuffer, right after the call")
    same(await openWith(new Uint8Array(image.slice(0))), 0, "a view of the whole buffer")
    const wide = new Uint8Array(size + 20)
    wide.set(new Uint8Array(image), 10)
    same(await openWith(wide.subarray(10, 10 + size)), size, "a view of a part")
    same(wide.byteLength, size + 20)
    for (const { message } of traffic.sent) same(message.attachments?.map((each) => each.byteLength) ?? [], message.attachments ? [0] : [])
    same(traffic.sent.filter(({ message }) => message.attachments).length, 3)
  },

  async "a refused seed image is gone as well, and the engine takes another one"() {
    const engine = createWorkerEngine()
    const letter = new TextEncoder().encode("Dear engine, ".repeat(1000)).buffer
    await rejects(engine.init({ blob: letter }), "CORRUPT/IMAGE_INVALID")
    same(letter.byteLength, 0)
    await engine.init({ blob: await seed() })
    same((await engine.exec("select count(*) as n from t")).rows, [{ n: 100 }])
    await engine.close()
  },

  async "100 MB go out and come in again without a copy on the page"() {
    const { engine, audits } = audited()
    await engine.init()
    await engine.exec("create table t (a)")
    await engine.exec("begin")
    for (let index = 0; index < 100; index++) await engine.exec("insert into t values (randomblob(1000000))")
    await engine.exec("commit")
    const sum = "select count(*) as n, sum(length(a)) as bytes, hex(substr(max(a), 1, 8)) as last from t"
    const { rows: before } = await engine.exec(sum)
    const started = performance.now()
    const { blocks: out, value: image } = await longTasks(() => engine.export())
    ok(image.byteLength > 100_000_000, `an image of ${image.byteLength} bytes`)
    const all = await audits(106)
    same(all.at(-1)![1], { size: image.byteLength, detached: true })
    await engine.close()

    const second = createWorkerEngine()
    const { blocks: back } = await longTasks(async () => {
      const opening = second.init({ blob: image })
      same(image.byteLength, 0, "the image was copied")
      await opening
    })
    const took = performance.now() - started
    same((await second.exec(sum)).rows, before)
    await second.close()
    return `${Math.round(took)} ms; tasks that blocked the page: ${out.length + back.length}`
  },

  // ── The page stays free ──────────────────────────────────────────────────

  async "a statement of two seconds leaves the page alone"() {
    const engine = await open()
    const note = await leavesPageAlone(async () => {
      const error = await failure(engine.exec(ENDLESS, [], { timeoutMs: 2_000 }))
      same((error as EngineError).reason, "TIMEOUT")
    })
    await engine.close()
    // The control: in this thread the same is a block.
    const inProcess = await openInProcess()
    // The browser's list can miss one on a machine that is busy with other things.
    let seen: number[] = []
    for (let tries = 0; tries < 3 && !seen.some((ms) => ms >= 290); tries++) {
      seen = (await longTasks(() => failure(inProcess.exec(ENDLESS, [], { timeoutMs: 300 })))).blocks
    }
    ok(seen.some((ms) => ms >= 290), `only ${seen} ms of 300 were seen`)
    await inProcess.close()
    return note
  },

  async "100,000 × 6 rows become objects in slices"() {
    const engine = await open()
    await engine.exec("create table t (id integer primary key, a, b, c, d, e)")
    await engine.exec(`insert into t ${rows(100_000)} select i, i * 7, i * 0.25, 'text ' || i, null, x'0102' from n`)
    const note = await leavesPageAlone(async () => {
      const { rows } = await engine.exec("select * from t")
      same(rows.length, 100_000)
      same(rows[99_999], { id: 100_000, a: 700_000, b: 25_000, c: "text 100000", d: null, e: new Uint8Array([1, 2]) })
    })
    await engine.close()
    return note
  },

  async "100,000 × 6 rows arrive as a stream and leave the page alone"() {
    const engine = await open()
    await engine.exec("create table t (id integer primary key, a, b, c, d, e)")
    await engine.exec(`insert into t ${rows(100_000)} select i, i * 7, i * 0.25, 'text ' || i, null, x'0102' from n`)
    const note = await leavesPageAlone(async () => {
      let seen = 0
      for await (const { id } of engine.stream<{ id: number }>("select * from t")) if (id !== ++seen) throw new Error(`row ${id} is number ${seen}`)
      same(seen, 100_000)
    })
    await engine.close()
    return note
  },

  // ── Streams ──────────────────────────────────────────────────────────────

  async "leaving a stream closes its cursor"() {
    const traffic = watchTraffic()
    const engine = createWorkerEngine()
    const { limits } = await engine.init()
    traffic.count()
    const turns = limits.maxOpenCursors * 2
    for (let turn = 0; turn < turns; turn++) {
      for await (const { i } of engine.stream<{ i: number }>(`${rows(50_000)} select i from n`, [], { batchRows: 100 })) if (i === 150) break
    }
    ok(traffic.count().sent <= turns * 5, "rows were fetched that nobody wanted")
    await engine.close()
  },

  async "an error in the loop closes the cursor"() {
    const engine = createWorkerEngine()
    const { limits } = await engine.init()
    const mine = new Error("mine")
    for (let turn = 0; turn < limits.maxOpenCursors * 2; turn++) {
      const caught = await failure((async () => {
        for await (const _ of engine.stream(`${rows(50_000)} select i from n`, [], { batchRows: 100 })) throw mine
      })())
      ok(caught === mine, String(caught))
    }
    await engine.close()
  },

  async "a stream asks for the next batch only when the last one is taken"() {
    const traffic = watchTraffic()
    const engine = await open()
    const batches = engine.stream<{ i: number }>(`${rows(1_000_000)} select i from n`, [], { batchRows: 1000 }).batches()
    traffic.count()
    const first = await batches.next()
    same((first.value as { i: number }[]).length, 1000)
    // Both sides have had every chance to go on: these calls went all the way round.
    for (let turn = 0; turn < 5; turn++) await engine.exec("select 1")
    const { sent } = traffic.count()
    ok(sent - 5 <= 2, `${sent - 5} messages for one batch`)
    await batches.return?.()
    await engine.close()
  },

  async "two streams and an exec share the engine"() {
    const engine = await open()
    await engine.exec(`create table t as ${rows(3000)} select i from n`)
    const one = engine.stream<{ i: number }>("select i from t", [], { batchRows: 500 })[Symbol.asyncIterator]()
    const two = engine.stream<{ i: number }>("select -i as i from t", [], { batchRows: 700 })[Symbol.asyncIterator]()
    for (let index = 1; index <= 3000; index++) {
      same([(await one.next()).value.i, (await two.next()).value.i], [index, -index])
      if (index % 1000 === 0) same((await engine.exec("select count(*) as n from t")).rows, [{ n: 3000 }])
    }
    same([(await one.next()).done, (await two.next()).done], [true, true])
    await engine.close()
  },

  async "closing the engine ends a stream with a typed error"() {
    const engine = await open()
    const stream = engine.stream(`${rows(1_000_000)} select i from n`, [], { batchRows: 10 }).batches()
    await stream.next()
    await engine.close()
    await rejects((async () => { while (!(await stream.next()).done); })(), /^LIFECYCLE\//)
  },

  // ── Cancelling ───────────────────────────────────────────────────────────

  async "an AbortSignal takes a queued call out"() {
    const engine = await open()
    await engine.exec("create table t (a)")
    for (let turn = 0; turn < 5; turn++) {
      const abort = new AbortController()
      const busy = failure(engine.exec(ENDLESS, [], { timeoutMs: 100 }))
      const unwanted = engine.exec("insert into t values ('unwanted')", [], { signal: abort.signal })
      const wanted = engine.exec("insert into t values ('wanted')")
      abort.abort()
      await rejects(unwanted, "INTERRUPTED/CANCELLED", `turn ${turn}`)
      same(((await busy) as EngineError).reason, "TIMEOUT")
      await wanted
    }
    same((await engine.exec("select a, count(*) as n from t group by a")).rows, [{ a: "wanted", n: 5 }])
    await engine.close()
  },

  async "a signal that has fired already sends nothing"() {
    const traffic = watchTraffic()
    const engine = await open()
    traffic.count()
    await rejects(engine.exec("select 1", [], { signal: AbortSignal.abort() }), "INTERRUPTED/CANCELLED")
    await rejects(engine.execBatch([{ sql: "select 1" }], { signal: AbortSignal.abort() }), "INTERRUPTED/CANCELLED")
    await rejects(engine.stream("select 1", [], { signal: AbortSignal.abort() }).batches().next(), "INTERRUPTED/CANCELLED")
    same(traffic.count(), { sent: 0, received: 0 })
    await engine.exec("select 1")
    await engine.close()
  },

  async "more calls at once than the engine takes wait their turn; one that waits can be given up"() {
    const engine = createWorkerEngine()
    const { limits } = await engine.init()
    const abort = new AbortController()
    const count = limits.maxInflight * 3
    const calls = Array.from({ length: count }, (_, index) => engine.exec("select ? as i", [index]))
    const last = engine.exec("select 1", [], { signal: abort.signal })
    abort.abort()
    await rejects(last, "INTERRUPTED/CANCELLED")
    const answers = await Promise.all(calls)
    same(answers.map(({ rows: [row] }) => row!["i"]), Array.from({ length: count }, (_, index) => index))
    await engine.close()
    return `${count} calls, ${limits.maxInflight} in flight`
  },

  // ── Many engines, short lives ────────────────────────────────────────────

  async "several engines work at once, each on its own database"() {
    const engines = await Promise.all([open(), open(), open(), openInProcess(), openInProcess()])
    await Promise.all(engines.map(async (engine, index) => {
      await engine.exec("create table t (a)")
      for (let turn = 0; turn < 100; turn++) await engine.exec("insert into t values (?)", [index * 1000 + turn])
    }))
    for (const [index, engine] of engines.entries()) {
      same((await engine.exec("select count(*) as n, min(a) as low, max(a) as high from t")).rows, [{ n: 100, low: index * 1000, high: index * 1000 + 99 }])
    }
    const [first, ...others] = engines
    await first!.close()
    for (const engine of others) same((await engine.exec("select count(*) as n from t")).rows, [{ n: 100 }])
    await Promise.all(others.map((engine) => engine.close()))
  },

  async "close finishes what was asked before it"() {
    const engine = await open()
    await engine.exec("create table t (a)")
    const calls = Array.from({ length: 20 }, (_, index) => engine.exec("insert into t values (?)", [index]))
    const image = engine.export()
    const closing = engine.close()
    await rejects(engine.exec("select 1"), /^LIFECYCLE\/CLOS(ING|ED)$/)
    await Promise.all(calls)
    ok((await image).byteLength > 0, "no image")
    await closing
    await isOver(engine)
  },

  async "opening and closing one engine after the other leaves nothing behind"() {
    for (let turn = 0; turn < 20; turn++) {
      const engine = await open()
      same((await engine.exec("select ? as turn", [turn])).rows, [{ turn }])
      await engine.close()
    }
  },

  // ── Lost workers ─────────────────────────────────────────────────────────

  async "terminate() in the middle of a statement rejects what waits"() {
    const engine = await open()
    const waiting = [engine.exec(ENDLESS), engine.exec("select 1"), engine.export(), engine.stream("select 1").batches().next()]
    engine.terminate()
    await Promise.all(waiting.map((call) => rejects(call, "LIFECYCLE/TRANSPORT_CLOSED")))
    await isOver(engine)
  },

  async "terminate() of the worker under an engine rejects what waits"() {
    const worker = new Worker("/package/worker.js", { type: "module" })
    const engine = createEngine(worker)
    const closed = closedEvent(engine)
    await engine.init()
    const waiting = [engine.exec(ENDLESS), engine.exec("select 1")]
    worker.terminate()
    await Promise.all(waiting.map((call) => rejects(call, "LIFECYCLE/TRANSPORT_CLOSED")))
    await within(1000, closed, "the closed event")
    await isOver(engine)
  },

  async "a worker script that is not there"() {
    await doesNotOpen("/no-worker/", "INTERNAL/WORKER_FAILED", "worker")
  },

  async "a worker script that is a page"() {
    await doesNotOpen("/html-worker/", "INTERNAL/WORKER_FAILED", "worker")
  },

  async "a worker script with a syntax error"() {
    await doesNotOpen("/broken-worker/", "INTERNAL/WORKER_FAILED", "worker")
  },

  async "a wasm that is not there, in the worker and in this thread"() {
    const error = await doesNotOpen("/no-wasm/", "INTERNAL/ENGINE_DEFECT")
    ok(/lix_engine\.wasm.*404/s.test(error.message + error.detail), `the error does not say what is missing: ${error.message} ${error.detail}`)
  },

  async "a wasm that is a page"() {
    await doesNotOpen("/html-wasm/", "INTERNAL/ENGINE_DEFECT")
  },

  async "a wasm that ends too early"() {
    await doesNotOpen("/cut-wasm/", "INTERNAL/ENGINE_DEFECT")
  },

  async "a Content-Security-Policy of the worker that forbids wasm"() {
    await doesNotOpen("/csp-wasm/", "INTERNAL/ENGINE_DEFECT", "worker")
  },

  async "a Content-Security-Policy of the page that forbids workers"() {
    const policy = document.createElement("meta")
    policy.httpEquiv = "Content-Security-Policy"
    policy.content = "worker-src 'none'"
    document.head.append(policy)
    await doesNotOpen("/package/", "INTERNAL/WORKER_FAILED", "worker")
  },

  async "a wasm with the wrong content type is good enough"() {
    for (const create of await creators("/plain-wasm/")) {
      const engine = create()
      await engine.init()
      same((await engine.exec("select 1 as one")).rows, [{ one: 1 }])
      await engine.close()
    }
  },

  async "a worker that throws outside of every call"() {
    const worker = new Worker("/pages/throwing-worker.js", { type: "module" })
    const engine = createEngine(worker)
    await engine.init()
    const closed = closedEvent(engine)
    const waiting = engine.exec(ENDLESS, [], { timeoutMs: 100 })
    worker.postMessage("throw")
    const behind = engine.exec("select 1")
    await Promise.all([
      rejects(behind, "INTERNAL/WORKER_FAILED"),
      // Its answer came before the mistake, or was lost with it; both are fine.
      rejects(waiting, /^(INTERRUPTED\/TIMEOUT|INTERNAL\/WORKER_FAILED)$/),
    ])
    ok(/a mistake outside of every call/.test((await within(1000, closed, "the closed event")).message), "the error does not say what happened")
    await isOver(engine)
  },

  ...Object.fromEntries([
    "text", "nothing", "number", "no frame", "another version", "a view", "text as frame", "noise", "half a frame", "attachments that are none",
  ].map((way) => [`garbage from the worker: ${way}`, async () => {
    const engine = createEngine(new Worker(`/pages/garbling-worker.js?way=${way}`, { type: "module" }))
    const closed = closedEvent(engine)
    await engine.init()
    const waiting = [engine.exec("select 1"), engine.exec("select 2"), engine.export()]
    await Promise.all(waiting.map((call) => rejects(call, /^(LIFECYCLE\/TRANSPORT_CLOSED|PROTOCOL\/.*)$/)))
    await within(1000, closed, "the closed event")
    await isOver(engine)
  }])),

  async "an answer with an attachment too many fails its own call"() {
    const engine = createEngine(new Worker("/pages/garbling-worker.js?way=an attachment too many", { type: "module" }))
    await engine.init()
    await rejects(engine.exec("select 1"), "PROTOCOL/ATTACHMENT_MISMATCH")
    await rejects(engine.export(), "PROTOCOL/ATTACHMENT_MISMATCH")
    engine.terminate()
    await isOver(engine)
  },

  async "an answer with one damaged byte settles its call, whichever byte it is"() {
    const sql = "select 1 as a, 'two' as b, null as c, x'03' as d, 4.5 as e"
    const outcomes: { [outcome: string]: number } = {}
    let fates = await damageable()
    await fates.engine.exec(sql)
    // The first two bytes are the id: an answer to nobody is nobody's answer.
    for (let at = 2; at < fates.size(); at++) {
      for (const flip of [0x01, 0x80, 0xff]) {
        fates.damage(at, flip)
        const outcome = await within(2_000, fates.engine.exec(sql), `byte ${at} xor ${flip}`).then(
          () => "a result",
          (error: EngineError) => {
            ok(error.name === "EngineError", String(error))
            return `${error.code}/${error.reason}`
          },
        )
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
        if (outcome === "LIFECYCLE/TRANSPORT_CLOSED") fates = await damageable(fates.size())
      }
    }
    fates.engine.terminate()
    ok((outcomes["PROTOCOL/BATCH_MALFORMED"] ?? 0) > 0 && (outcomes["PROTOCOL/FRAME_MALFORMED"] ?? 0) > 0, "nothing was damaged")
    return Object.entries(outcomes).map(([outcome, count]) => `${count} × ${outcome}`).join(", ")
  },

  // ── A broken engine ──────────────────────────────────────────────────────

  async "SQLite out of memory is a typed error, and the engine goes on"() {
    for (const create of await creators("/small-memory/")) {
      const engine = create()
      await engine.init()
      await rejects(engine.exec("select length(randomblob(50000000))"), "LIMIT/OUT_OF_MEMORY")
      same((await engine.exec("select 1 as one")).rows, [{ one: 1 }])
      await engine.close()
    }
  },

  async "a database that outgrows the memory is a typed error, and what was committed stays"() {
    for (const create of await creators("/small-memory/")) {
      const engine = create()
      await engine.init()
      await engine.exec("create table t (a)")
      let written = 0
      const error = await failure((async () => {
        for (; written < 1000; written++) await engine.exec("insert into t values (randomblob(200000))")
      })())
      await rejects(Promise.reject(error), /^(LIMIT\/OUT_OF_MEMORY|STORAGE\/.*)$/, `after ${written} rows`)
      ok(written > 10, `only ${written} rows`)
      same((await engine.exec("select count(*) as n from t")).rows, [{ n: written }])
      await engine.close()
    }
  },

  async "a trap in the wasm rejects what waits and what comes later"() {
    for (const create of await creators("/small-memory/")) {
      const engine = create()
      await engine.init()
      const closed = closedEvent(engine)
      // A frame larger than the memory: wasm's own allocator gives up.
      const fatal = engine.exec("select length(?)", [new Uint8Array(60_000_000)])
      const behind = [engine.exec("select 1"), engine.export(), engine.stream("select 1").batches().next()]
      await Promise.all([
        rejects(fatal, "INTERNAL/ENGINE_DEFECT", "the call that trapped"),
        ...behind.map((call) => rejects(call, /^(INTERNAL\/ENGINE_DEFECT|LIFECYCLE\/FAILED)$/, "a call behind it")),
      ])
      same((await within(1000, closed, "the closed event")).reason, "ENGINE_DEFECT")
      await isOver(engine)
    }
  },

  async "statements that exhaust the stack get a typed error, and no call hangs"() {
    const hostile: [string, unknown[]][] = [
      [`select '${"a".repeat(25_000)}b' like '${"%a".repeat(20_000)}c'`, []],
      [`select ${"(".repeat(100_000)}1${")".repeat(100_000)}`, []],
      [`select ${"(select ".repeat(5_000)}1${")".repeat(5_000)}`, []],
      ["select json(?)", ["[".repeat(1_000_000)]],
    ]
    const survived: boolean[] = []
    for (const [sql, params] of hostile) {
      const engine = await open()
      await within(20_000, engine.exec(sql, params).catch((error) => rejects(Promise.reject(error), /\//)), sql.slice(0, 40))
      const after = await within(5_000, engine.exec("select 1").then(() => true, () => false), "the next call")
      survived.push(after)
      if (after) await engine.close()
      else await isOver(engine)
    }
    return `the engine lived on after ${survived.filter(Boolean).length} of ${hostile.length}`
  },
}

async function open(): Promise<LixEngine> {
  const engine = createWorkerEngine()
  await engine.init()
  return engine
}

async function openInProcess(): Promise<LixEngine> {
  const engine = createMainMemoryEngine()
  await engine.init()
  return engine
}

/** A small database. */
async function seed(): Promise<ArrayBuffer> {
  const engine = await openInProcess()
  await engine.exec(`create table t as ${rows(100)} select i from n`)
  const image = await engine.export()
  await engine.close()
  return image
}

/** The package from another address, where the server has something else in store: in a worker, in this thread. */
async function creators(prefix: string): Promise<(() => LixEngine)[]> {
  const other: typeof import("../../../src/index.js") = await import(`${prefix}standalone.js`)
  return [other.createWorkerEngine, other.createMainMemoryEngine]
}

/** An engine that cannot be loaded: init and what waits for it reject, and it is over. */
async function doesNotOpen(prefix: string, expected: string, where: "worker" | "worker and this thread" = "worker and this thread"): Promise<EngineError> {
  const all = await creators(prefix)
  let error: EngineError | undefined
  for (const create of where === "worker" ? all.slice(0, 1) : all) {
    const engine = create()
    const closed = closedEvent(engine)
    const opening = engine.init()
    const waiting = engine.exec("select 1")
    ;[error] = await Promise.all([rejects(opening, expected, "init"), rejects(waiting, /^(INTERNAL|LIFECYCLE)\//, "a call behind init")])
    await within(1000, closed, "the closed event")
    await isOver(engine)
  }
  return error!
}

function closedEvent(engine: LixEngine): Promise<EngineError> {
  return new Promise((resolve) => engine.on("closed", ({ error }: EngineEvents["closed"]) => resolve(error)))
}

interface Audit {
  readonly size: number
  readonly detached: boolean
}

/** An engine whose worker tells what became of the buffers it sent. */
function audited(): { engine: LixEngine; audits(count: number): Promise<Audit[][]> } {
  const seen: Audit[][] = []
  let wake = () => {}
  const engine = throughPage("/pages/audited-worker.js", ({ data }) => {
    if (!data.audit) return true
    seen.push(data.audit)
    wake()
    return false
  })
  const audits = async (count: number) => {
    while (seen.length < count) await within(5_000, new Promise<void>((resolve) => (wake = resolve)), `audit ${seen.length + 1} of ${count}`)
    same(seen.length, count)
    return seen
  }
  return { engine, audits }
}

/** An open engine between which and the page a byte can be damaged, once. `size` is that of the newest answer. */
async function damageable(size = 0): Promise<{ engine: LixEngine; damage(at: number, flip: number): void; size(): number }> {
  let next: [number, number] | undefined
  const engine = throughPage("/package/worker.js", (event) => {
    const bytes = new Uint8Array(event.data.frame)
    size = bytes.length
    if (next) bytes[next[0]]! ^= next[1]
    next = undefined
    return true
  })
  await engine.init()
  return { engine, damage: (at, flip) => void (next = [at, flip]), size: () => size }
}

/** An engine on a worker whose messages pass this page first; those it keeps go no further. */
function throughPage(script: string, pass: (event: MessageEvent) => boolean): LixEngine {
  const worker = new Worker(script, { type: "module" })
  let deliver: ((event: MessageEvent) => unknown) | null = null
  worker.onmessage = (event) => void (pass(event) && deliver?.(event))
  return createEngine({
    postMessage: (message, transfer) => worker.postMessage(message, transfer),
    get onmessage() {
      return deliver
    },
    set onmessage(handler) {
      deliver = handler
    },
    terminate: () => worker.terminate(),
  })
}

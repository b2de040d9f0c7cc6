// A page's life as the engine follows it, with a page that does what the test says.

import assert from "node:assert/strict"
import { test } from "node:test"
import { EngineError } from "../../src/errors.js"
import { followPage, type PageTarget } from "../../src/lifecycle.js"
import { settled } from "../support/assert.js"

test("put aside and brought back: suspend once, resume once", async () => {
  const { page, log } = followed()
  page.fire("pagehide", { persisted: true })
  page.document.fire("freeze")
  page.document.fire("resume")
  page.fire("pageshow", { persisted: true })
  assert.deepEqual(log, ["suspend", "resume"])
})

test("the first show of a page, and a resume without a freeze, mean nothing", async () => {
  const { page, log } = followed()
  page.fire("pageshow", { persisted: false })
  page.document.fire("resume")
  assert.deepEqual(log, [])
})

test("a page that is hidden saves; one that is shown does not", () => {
  const { page, log } = followed()
  page.document.visibilityState = "hidden"
  page.document.fire("visibilitychange")
  page.document.visibilityState = "visible"
  page.document.fire("visibilitychange")
  assert.deepEqual(log, ["flush"])
})

test("storage that is busy is asked for again, until it is had, lost, or the page is put aside again", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] })
  const busy = new EngineError("STORAGE", "STORAGE_BUSY", "in use")
  const outcomes: (EngineError | undefined)[] = [busy, busy, undefined]
  const { page, log } = followed(async () => {
    const error = outcomes.shift()
    if (error) throw error
  })
  page.fire("pagehide")
  page.fire("pageshow", { persisted: true })
  await settled()
  t.mock.timers.tick(1_000)
  await settled()
  t.mock.timers.tick(1_999)
  assert.deepEqual(log, ["suspend", "resume", "resume"])
  t.mock.timers.tick(1)
  await settled()
  t.mock.timers.tick(60_000)
  assert.deepEqual(log, ["suspend", "resume", "resume", "resume"])

  outcomes.push(busy)
  page.fire("pagehide")
  page.fire("pageshow", { persisted: true })
  await settled()
  page.fire("pagehide")
  t.mock.timers.tick(60_000)
  assert.deepEqual(log.slice(4), ["suspend", "resume", "suspend"])

  outcomes.push(new EngineError("STORAGE", "STORAGE_LOST", "somebody saved"))
  page.fire("pageshow", { persisted: true })
  await settled()
  t.mock.timers.tick(60_000)
  assert.deepEqual(log.slice(7), ["resume"])
})

test("after the end nobody listens any more", async () => {
  const { page, log, stop } = followed()
  assert.ok(page.listeners() > 0)
  stop()
  assert.equal(page.listeners() + page.document.listeners(), 0)
  page.fire("pagehide")
  assert.deepEqual(log, [])
})

test("where there is no page there is nothing to follow", () => {
  followPage({ flush() {}, suspend: async () => {}, resume: async () => {} }, {} as PageTarget)()
  followPage({ flush() {}, suspend: async () => {}, resume: async () => {} })()
})

function followed(resume: () => Promise<void> = async () => {}) {
  const page = Object.assign(new FakeTarget(), { document: Object.assign(new FakeTarget(), { visibilityState: "visible" }) })
  const log: string[] = []
  const stop = followPage(
    {
      flush: () => void log.push("flush"),
      suspend: async () => void log.push("suspend"),
      resume: () => (log.push("resume"), resume()),
    },
    page,
  )
  return { page, log, stop }
}

class FakeTarget {
  #listeners: [string, (event: Event) => void][] = []
  addEventListener(type: string, listener: (event: Event) => void): void {
    this.#listeners.push([type, listener])
  }
  removeEventListener(type: string, listener: (event: Event) => void): void {
    this.#listeners = this.#listeners.filter(([one, other]) => one !== type || other !== listener)
  }
  fire(type: string, fields: object = {}): void {
    for (const [one, listener] of this.#listeners) if (one === type) listener(Object.assign(new Event(type), fields))
  }
  listeners(): number {
    return this.#listeners.length
  }
}

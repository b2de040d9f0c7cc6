/**
 * What is measured, the same for all and through nothing but their own interface. Each call is one
 * repetition and answers `{ ms }`, the time of one operation. A wrong answer is an error.
 *
 * Runs in the page and, for the native engine, in Node. Each implementation has one lix open under its
 * name, in which what follows a colon only tells several of one kind apart. Its key values are `key 0`, `key 1` and so on, beside those that a new lix has.
 */

export function createWorkloads(implementations) {
  const lixes = {}
  const images = {}
  let serial = 0

  const workloads = {
    /** In place of the one before, if there is one. */
    async open({ who, open, lix: before }) {
      await before?.close()
      lixes[who] = await open()
    },

    async close({ who, lix }) {
      await lix.close()
      delete lixes[who]
    },

    /** Adds `key from` up to `key to - 1`, so many to a statement and thus to a commit. */
    async fill({ lix }, { from = 0, to, each }) {
      for (let start = from; start < to; start += each) await lix.insertAll(entities("key", start, Math.min(to, start + each)))
      expect(await countOf(lix), to)
    },

    /**
     * From nothing to the first answer. Stays open in place of the one before, which is closed only now: a
     * peer may keep the worker of one that was closed for the next.
     */
    async openNew({ who, open, lix: before }) {
      const start = performance.now()
      const lix = await open()
      await lix.activeVersion()
      const ms = performance.now() - start
      lixes[who] = lix
      await before?.close()
      return { ms }
    },

    /** Keeps the bytes of the lix for `openExisting` and answers how many there are. */
    async keepImage({ who, lix }) {
      images[who] = await lix.export()
      return { bytes: images[who].byteLength }
    },

    /** From bytes in memory to the answer of a query; in place of the one before. */
    async openExisting({ who, open, lix: before }, { key }) {
      const image = images[who].slice()
      const start = performance.now()
      const lix = await open(image)
      const value = await lix.read(`key ${key}`)
      const ms = performance.now() - start
      lixes[who] = lix
      await before?.close()
      expect(value, `value ${key}`)
      return { ms }
    },

    /** Each awaited, each a commit. */
    async inserts({ lix }, { count }) {
      const all = fresh(count)
      const ms = await timeEach(all, (each) => lix.insert(each))
      expect(await lix.read(all.at(-1).key), all.at(-1).value)
      return { ms }
    },

    /** In a new lix: one statement, one commit. */
    insertAll: ({ open }, { count }) => inNewLix(open, "insertAll", count),

    /** In a new lix: one transaction, each awaited. */
    insertEach: ({ open }, { count }) => inNewLix(open, "insertEach", count),

    /** Each awaited, spread over all that there are. */
    async reads({ lix }, { count, size }) {
      const keys = Array.from({ length: count }, (_, i) => (i * STRIDE + 7) % size)
      const found = []
      const ms = await timeEach(keys, async (i) => found.push(await lix.read(`key ${i}`)))
      expect(found, keys.map((i) => `value ${i}`))
      return { ms }
    },

    /** All key values, into an array. */
    async list({ lix }, { size }) {
      const start = performance.now()
      const rows = await lix.list()
      const ms = performance.now() - start
      expect(rows.filter(({ key }) => key.startsWith("key ")).length, size)
      return { ms }
    },

    async updates({ lix }, { count, size }) {
      const value = `edit ${++serial}`
      const keys = Array.from({ length: count }, (_, i) => `key ${(i * STRIDE + serial) % size}`)
      const ms = await timeEach(keys, (key) => lix.update(key, value))
      expect(await lix.read(keys.at(-1)), value)
      return { ms }
    },

    /** Of rows that are made first, so that as many remain. */
    async removes({ lix }, { count }) {
      const all = fresh(count)
      await lix.insertAll(all)
      const before = (await lix.list()).length
      const ms = await timeEach(all, ({ key }) => lix.remove(key))
      expect((await lix.list()).length, before - count)
      return { ms }
    },

    /** Gives one entity so many commits. */
    async edit({ lix }, { key, count }) {
      for (let i = 0; i < count; i++) await lix.update(key, `edit ${i}`)
    },

    /** Of what `edit` did, and the insert before it. */
    async history({ lix }, { key, count, times }) {
      let found
      const ms = await timeEach(Array(times).fill(), async () => (found = await lix.history(key)))
      expect(found.slice(0, -1), Array.from({ length: count }, (_, i) => `edit ${count - 1 - i}`))
      return { ms }
    },

    async createVersion({ lix }, { times }) {
      return { ms: await timeEach(Array(times).fill(), () => lix.createVersion(`version ${++serial}`)) }
    },

    /** To another version and back; with `key`, to the answer of a read by key. */
    async switches({ lix }, { times, key }) {
      const here = await lix.activeVersion()
      const there = await lix.createVersion(`version ${++serial}`)
      const turns = Array.from({ length: times }, () => [there, here]).flat()
      const ms = await timeEach(turns, async (id) => {
        await lix.switchTo(id)
        if (key) await lix.read(key)
      })
      expect(await lix.activeVersion(), here)
      return { ms }
    },

    /** A version in which every entity has changed, into one that has a commit of its own. */
    async merge({ lix }, { size }) {
      const value = `edit ${++serial}`
      const here = await lix.activeVersion()
      const there = await lix.createVersion(`version ${serial}`)
      await lix.insert(fresh(1)[0])
      await lix.switchTo(there)
      await lix.updateAll(value)
      await lix.switchTo(here)
      const start = performance.now()
      await lix.merge(there)
      const ms = performance.now() - start
      expect(await countOf(lix, value), size)
      return { ms }
    },

    /** What changed since the last checkpoint, and the next one; every entity has. */
    async checkpoint({ lix }, { size }) {
      await lix.checkpoint()
      await lix.updateAll(`edit ${++serial}`)
      const start = performance.now()
      const changed = await lix.workingDiff()
      const compared = performance.now()
      await lix.checkpoint()
      const end = performance.now()
      expect([changed, await lix.workingDiff()], [size, 0])
      return { diff: compared - start, ms: end - compared }
    },

    async rebuild({ lix }, { size }) {
      const start = performance.now()
      await lix.rebuild()
      const ms = performance.now() - start
      expect(await countOf(lix), size)
      return { ms }
    },
  }

  /** Keys that nothing has yet and that `key …` does not match. */
  function fresh(count) {
    return entities(`more ${++serial}`, 0, count)
  }

  return async (workload, who, options = {}) => {
    const on = { who, open: implementations[who.split(":")[0]], lix: lixes[who] }
    try {
      return await workloads[workload](on, options)
    } catch (error) {
      throw new Error(`${who}, ${workload}: ${error.message.slice(0, 1_000)}`, { cause: error })
    }
  }
}

async function inNewLix(open, way, count) {
  const lix = await open()
  // The same on a few, so that no first time is measured.
  await lix[way](entities("few", 0, 20))
  const all = entities("key", 0, count)
  const start = performance.now()
  await lix[way](all)
  const ms = performance.now() - start
  expect(await countOf(lix), count)
  await lix.close()
  return { ms }
}

/** The time of one, of all done one after the other: a page's clock is too coarse for one. */
async function timeEach(all, work) {
  const start = performance.now()
  for (const each of all) await work(each)
  return (performance.now() - start) / all.length
}

function expect(actual, wanted) {
  const [found, due] = [JSON.stringify(actual), JSON.stringify(wanted)]
  if (found !== due) throw new Error(`answered ${found?.slice(0, 200)} instead of ${due.slice(0, 200)}`)
}

function entities(prefix, from, to) {
  return Array.from({ length: to - from }, (_, i) => ({ key: `${prefix} ${from + i}`, value: `value ${from + i}` }))
}

async function countOf(lix, wanted) {
  const rows = await lix.list()
  return rows.filter(({ key, value }) => key.startsWith("key ") && (wanted === undefined || value === wanted)).length
}

/** A prime, so that reads come to all of a lix before they come again. */
const STRIDE = 7_919

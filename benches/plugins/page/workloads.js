/**
 * What is measured, the same for all and through nothing but their own interface. Each call is one
 * repetition and answers `{ ms }`, or `{ block }`, the longest time in ms for which the page's thread was
 * busy meanwhile. A wrong answer is an error.
 */

import { startWatch } from "/shared/watch.js"

export function createWorkloads(implementations) {
  const lixes = {}
  let serial = 0

  const workloads = {
    async open({ who, open, lix: before }) {
      await before?.close()
      lixes[who] = await open()
    },

    async close({ who, lix }) {
      await lix.close()
      delete lixes[who]
    },

    /** A path in the browser's file system that nothing has yet, to the first answer. */
    async openNew({ openNew }) {
      const start = performance.now()
      const lix = await openNew(`bench-${Date.now()}-${++serial}`)
      const ms = performance.now() - start
      await lix.close()
      return { ms }
    },

    /** A file that is not there yet. */
    async insert({ lix }, { kind, size, probe }) {
      const file = KINDS[kind]
      const path = `/file-${++serial}.${kind}`
      const data = file.bytes(size)
      const watch = startWatch(probe)
      await lix.insertFile(path, data)
      const result = await watch.stop()
      expect(await lix.entities(path) >= size, true)
      expect(file.read(await lix.readFile(path)), file.read(data))
      return { ...result, path }
    },

    /** One property or cell of a file that is there. */
    async edit({ lix }, { kind, size, path, probe }) {
      const file = KINDS[kind]
      const edited = file.bytes(size, { at: (++serial * 7_919) % size, value: `edit ${serial}` })
      const watch = startWatch(probe)
      await lix.updateFile(path, edited)
      const result = await watch.stop()
      expect(file.read(await lix.readFile(path)), file.read(edited))
      return result
    },

    /** Read before, and not changed since. */
    async readWarm({ lix }, { path }) {
      const before = await lix.readFile(path)
      const start = performance.now()
      const data = await lix.readFile(path)
      const ms = performance.now() - start
      expect(data.length, before.length)
      return { ms }
    },

    /** The first read after opening the bytes of the lix. */
    async readCold({ lix, open }, { path }) {
      const due = (await lix.readFile(path)).length
      const again = await open(await lix.export())
      const start = performance.now()
      const data = await again.readFile(path)
      const ms = performance.now() - start
      expect(data.length, due)
      await again.close()
      return { ms }
    },
  }

  return async (workload, who, options = {}) => {
    const on = { who, ...implementations[who], lix: lixes[who] }
    try {
      return await workloads[workload](on, options)
    } catch (error) {
      throw new Error(`${who}, ${workload}: ${String(error?.message ?? error).slice(0, 1_000)}`, { cause: error })
    }
  }
}

const KINDS = {
  json: {
    bytes(size, edit) {
      const entries = Array.from({ length: size }, (_, i) => [`property_${i}`, i === edit?.at ? edit.value : `value ${i}`])
      return encoder.encode(JSON.stringify(Object.fromEntries(entries)))
    },
    /** 0.5.1 has an order of its own. */
    read: (bytes) => Object.entries(JSON.parse(decoder.decode(bytes))).sort(([a], [b]) => (a < b ? -1 : 1)),
  },
  csv: {
    bytes(size, edit) {
      const rows = Array.from({ length: size }, (_, i) => `${i},name ${i},${i === edit?.at ? edit.value : `city ${i % 100}`}`)
      return encoder.encode(["id,name,city", ...rows, ""].join("\n"))
    },
    read: (bytes) => decoder.decode(bytes).trimEnd(),
  },
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

function expect(actual, wanted) {
  const [found, due] = [JSON.stringify(actual), JSON.stringify(wanted)]
  if (found !== due) throw new Error(`answered ${found?.slice(0, 200)} instead of ${due.slice(0, 200)}`)
}

/** The page: ours in a worker, and both peers. Each is loaded when it is first opened. */

import { knownBlock } from "/shared/watch.js"
import { createWorkloads } from "./workloads.js"

const run = createWorkloads({
  ours: {
    open: async (image) => (await import("./ours.js")).openOurs(["json", "csv"], image),
    openNew: async (name) => (await import("./ours.js")).openOursStored(name),
  },
  sdk05: {
    open: async (image) => (await import("./sdk-05.js")).openSdk05(image),
    openNew: async (name) => (await import("./sdk-05.js")).openSdk05Stored(name),
  },
  sdk17: {
    open: async (image) => (await import("./sdk-17.js")).openSdk17(image),
    openNew: async () => (await import("./sdk-17.js")).openSdk17New(),
  },
})

globalThis.bench = (workload, who, options) => (workload === "knownBlock" ? knownBlock(undefined, options) : run(workload, who, options))

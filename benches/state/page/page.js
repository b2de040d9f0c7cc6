/** The page: ours in a worker, and both peers. Each is loaded when it is first opened. */

import { exchangesAwaited, knownBlock } from "/shared/watch.js"
import { createWorkloads } from "./workloads.js"

const implementations = {
  ours: (image) => openOurs("createWorkerEngine", image),
  oursHere: (image) => openOurs("createMainMemoryEngine", image),
  sdk05: async (image) => (await import("./sdk-05.js")).openSdk05(image),
  sdk17: async (image) => (await import("./sdk-17.js")).openSdk17(image),
}

async function openOurs(create, image) {
  const [host, { lixOver }] = await Promise.all([import("/lix/standalone.js"), import("./lix.js")])
  const engine = host[create]()
  await engine.init({ lix: true, ...(image && { blob: image.buffer }) })
  return lixOver(engine)
}

const run = createWorkloads(implementations)
const withoutEngine = { exchangesAwaited, knownBlock }

globalThis.bench = (workload, who, options) => (withoutEngine[workload] ? withoutEngine[workload](undefined, options) : run(workload, who, options))

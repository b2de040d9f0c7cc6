// The real worker, which throws outside of every call when it is told to.
import "./throw.js"
import "/package/worker.js"

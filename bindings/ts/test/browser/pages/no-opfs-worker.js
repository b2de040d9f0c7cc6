// The real worker in a browser that lacks what the address names.
import "./no-opfs.js"
import "/package/worker.js"

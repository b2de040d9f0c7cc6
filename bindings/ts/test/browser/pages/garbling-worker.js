// The real worker, which answers its first message and then loses its mind in the way that the
// address names.
import "./garble.js"
import "/package/worker.js"

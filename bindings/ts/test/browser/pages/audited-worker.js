// The real worker, with a record of what became of the buffers it sent. After each of its messages
// comes one that says whether the message's buffers are still its own.
import "./audit.js"
import "/package/worker.js"

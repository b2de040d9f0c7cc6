// The engine on stdin and stdout, or as a server: --tcp HOST:PORT.
import { createServer } from "node:net"
import { loadSqlite3 } from "./sqlite.ts"
import { serve } from "./stream.ts"

// Whatever prints does not print into the protocol.
console.log = console.error

const sqlite3 = await loadSqlite3()
const [flag, address = "127.0.0.1:0"] = process.argv.slice(2)
if (flag === "--tcp") {
  const [host, port] = address.split(":")
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.setNoDelay(true)
    void serve(sqlite3, socket, socket)
  })
  server.listen(Number(port), host, () => {
    const bound = server.address() as { port: number }
    console.error(`listening on tcp://${host}:${bound.port}`)
  })
} else {
  process.exit(await serve(sqlite3, process.stdin, process.stdout))
}

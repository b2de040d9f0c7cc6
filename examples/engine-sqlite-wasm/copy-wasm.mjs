// The engine loads SQLite from beside its own script.
import { copyFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

copyFileSync(fileURLToPath(import.meta.resolve("@sqlite.org/sqlite-wasm/sqlite3.wasm")), new URL("dist/sqlite3.wasm", import.meta.url))

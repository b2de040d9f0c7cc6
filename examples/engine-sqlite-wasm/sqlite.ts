// SQLite itself: the official WebAssembly build, without the storages that it would bring along.
import sqlite3InitModule, { type Sqlite3Static, type WasmPointer } from "@sqlite.org/sqlite-wasm"

export type Sqlite3 = Sqlite3Static
export type Connection = WasmPointer
export type Statement = WasmPointer

declare global {
  var sqlite3ApiConfig: unknown
}

/** Loads sqlite3.wasm from beside the script. */
export const loadSqlite3 = (): Promise<Sqlite3> => {
  // Otherwise a worker tries to start helpers for OPFS that are not there.
  globalThis.sqlite3ApiConfig = {
    disable: { vfs: { kvvfs: true, opfs: true, "opfs-vfs": true, "opfs-sahpool": true, "opfs-wl": true } },
  }
  return sqlite3InitModule()
}

// Storage on Node's file system: the kind FILE, for the wasm engine. A path is open once per process.

import { closeSync, fdatasyncSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs"
import { dirname, resolve } from "node:path"

import { StorageFailure } from "../../../bindings/ts/dist/storage.js"

/** The storage of one session. */
export const fileStorage = {
  kind: "file",
  async open(path, { create, waitMs }) {
    const key = resolve(path)
    await take(key, path, waitMs)
    const release = async () => letGo(key)
    try {
      return { file: new NodeFile(openOrCreate(key, create)), release }
    } catch (error) {
      await release()
      throw failed(path, error, create)
    }
  },
}

class NodeFile {
  #fd

  constructor(fd) {
    this.#fd = fd
  }
  getSize() {
    return fstatSync(this.#fd).size
  }
  read(into, { at }) {
    return readSync(this.#fd, into, 0, into.length, at)
  }
  write(from, { at }) {
    let written = 0
    while (written < from.length) written += named(() => writeSync(this.#fd, from, written, from.length - written, at + written))
    return written
  }
  truncate(size) {
    named(() => ftruncateSync(this.#fd, size))
  }
  flush() {
    named(() => fdatasyncSync(this.#fd))
  }
  close() {
    closeSync(this.#fd)
  }
}

function openOrCreate(path, create) {
  try {
    return openSync(path, "r+")
  } catch (error) {
    if (error.code !== "ENOENT" || !create) throw error
    const fd = openSync(path, "wx+")
    // The name in its directory is to be as durable as the content.
    const directory = openSync(dirname(path), "r")
    fsyncSync(directory)
    closeSync(directory)
    return fd
  }
}

/** No room is the same mishap here and in a browser, and gets the browser's name. */
function named(work) {
  try {
    return work()
  } catch (error) {
    if (["ENOSPC", "EDQUOT", "EFBIG"].includes(error.code)) error.name = "QuotaExceededError"
    throw error
  }
}

function failed(path, error, create) {
  const known = { ENOENT: create ? undefined : "STORAGE_MISSING", EACCES: "STORAGE_READONLY", EPERM: "STORAGE_READONLY", EROFS: "STORAGE_READONLY", ENOSPC: "STORAGE_QUOTA" }
  return new StorageFailure(known[error.code] ?? "STORAGE_FAILED", error.message, path)
}

// ── Who has what ───────────────────────────────────────────────────────────

/** Paths that are open, each with those who wait for it. */
const open = new Map()

function take(key, path, waitMs) {
  const queue = open.get(key)
  if (!queue) {
    open.set(key, [])
    return Promise.resolve()
  }
  return new Promise((resolve, reject) => {
    const entry = { resolve }
    const giveUp = () => {
      queue.splice(queue.indexOf(entry), 1)
      reject(new StorageFailure("STORAGE_BUSY", `${path} is in use: another session has it open`, path))
    }
    queue.push(entry)
    entry.timer = setTimeout(giveUp, waitMs)
  })
}

function letGo(key) {
  const next = open.get(key).shift()
  if (!next) return open.delete(key)
  clearTimeout(next.timer)
  next.resolve()
}

/** The databases of this origin, seen from outside: what there is, and what to do when one cannot be opened. */

import { EngineError } from "./errors.js"
import { busy, checkPath, databaseRoot, failed, locate, takeLock } from "./opfs.js"
import { estimate, isPersisted, requestPersistence } from "./persist.js"
import { StorageFailure } from "./storage.js"

/** A stored database. */
export interface StoredDatabase {
  /** What `createWorkerOpfsEngine` calls it. */
  readonly path: string
  /** The size of its file. */
  readonly bytes: number
  readonly lastModified: Date
}

/**
 * The databases that `createWorkerOpfsEngine` keeps in this origin, and the storage they are in.
 *
 * ```ts
 * import { opfs } from "lix-engine"
 *
 * for (const { path, bytes } of await opfs.list()) console.log(path, bytes)
 * await opfs.delete("notes/2024.db")
 * if (!(await opfs.isPersisted())) await opfs.requestPersistence()
 * ```
 *
 * Everything rejects with `STORAGE/STORAGE_UNSUPPORTED` where there is no OPFS, and with
 * `INVALID/OPTION_INVALID` for a path that can be none.
 */
export const opfs = {
  /** What is stored, in order of the paths. */
  async list(): Promise<StoredDatabase[]> {
    return typed("", async () => {
      const found = await walk(await databaseRoot(), "")
      return found.sort((a, b) => (a.path < b.path ? -1 : 1))
    })
  },

  /** Whether something is stored under the path. */
  async exists(path: string): Promise<boolean> {
    return typed(path, async () => {
      checkPath(path)
      const file = await fileAt(path)
      return file !== undefined && file.size > 0
    })
  },

  /**
   * Deletes what is stored under the path; false if nothing was. Rejects with
   * `STORAGE/STORAGE_BUSY` while it is open somewhere.
   */
  async delete(path: string): Promise<boolean> {
    return typed(path, () => locked(path, () => remove(path)))
  },

  /**
   * The file as it is, byte for byte: not a SQLite file, but what to keep and send when a stored
   * database cannot be opened. Rejects with `STORAGE/STORAGE_MISSING` if nothing is stored, and with
   * `STORAGE/STORAGE_BUSY` while it is open somewhere.
   */
  async readRaw(path: string): Promise<ArrayBuffer> {
    return typed(path, () =>
      locked(path, async () => {
        const file = await fileAt(path)
        if (!file || file.size === 0) throw new StorageFailure("STORAGE_MISSING", `nothing is stored as ${JSON.stringify(path)}`, path)
        return file.arrayBuffer()
      }),
    )
  },

  requestPersistence,
  isPersisted,
  estimate,
}

async function walk(directory: FileSystemDirectoryHandle, prefix: string): Promise<StoredDatabase[]> {
  const found: StoredDatabase[] = []
  for await (const [name, handle] of directory.entries()) {
    const path = `${prefix}${name}`
    if (handle.kind === "directory") {
      found.push(...(await walk(handle as FileSystemDirectoryHandle, `${path}/`)))
    } else {
      const { size, lastModified } = await (handle as FileSystemFileHandle).getFile()
      // Something was opened there and nothing ever saved.
      if (size > 0) found.push({ path, bytes: size, lastModified: new Date(lastModified) })
    }
  }
  return found
}

async function fileAt(path: string): Promise<File | undefined> {
  try {
    const [directory, name] = await locate(await databaseRoot(), path, false)
    return await (await directory.getFileHandle(name)).getFile()
  } catch (error) {
    if (["NotFoundError", "TypeMismatchError"].includes((error as Error).name)) return undefined
    throw error
  }
}

async function remove(path: string): Promise<boolean> {
  const root = await databaseRoot()
  const until = performance.now() + HANDLE_MS
  for (;;) {
    try {
      const [directory, name] = await locate(root, path, false)
      const { size } = await (await directory.getFileHandle(name)).getFile()
      await directory.removeEntry(name)
      await prune(root, path)
      return size > 0
    } catch (error) {
      const { name } = error as Error
      if (name === "NotFoundError" || name === "TypeMismatchError") return false
      // A worker that has just died may have it open a little longer.
      if (name !== "NoModificationAllowedError") throw error
      if (performance.now() > until) throw busy(path, "its file is open", error)
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Directories that are empty now. One that is not refuses, and that is the end of it. */
async function prune(root: FileSystemDirectoryHandle, path: string): Promise<void> {
  const names = path.split("/")
  while (names.pop() && names.length > 0) {
    try {
      const [parent, name] = await locate(root, names.join("/"), false)
      await parent.removeEntry(name)
    } catch {
      return
    }
  }
}

async function locked<T>(path: string, work: () => Promise<T>): Promise<T> {
  checkPath(path)
  await databaseRoot()
  const lock = await takeLock(path, 0)
  try {
    return await work()
  } finally {
    await lock.release()
  }
}

async function typed<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    const { reason, message, subject } = cause instanceof StorageFailure ? cause : failed(path, cause)
    const code = reason === "OPTION_INVALID" ? "INVALID" : "STORAGE"
    throw new EngineError(code, reason, message, { subject, retryable: reason === "STORAGE_BUSY", cause })
  }
}

const HANDLE_MS = 2_000

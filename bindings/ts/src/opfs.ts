/**
 * Files in the browser's origin private file system, each open in one place at a time.
 *
 * A Web Lock named after the path says who has it; the browser frees it when a page or worker dies,
 * however it dies. Whoever holds the lock may insist on the file's handle, which a dying worker can
 * keep a little longer. What fails here fails with a typed reason, never with a handle's own error.
 *
 * What is absent: `createWritable` and cross-origin isolation.
 */

import { StorageFailure, type Storage, type SyncFile } from "./storage.js"

/** OPFS as a worker can use it. */
export const opfsStorage: Storage = {
  kind: "opfs",
  async open(path, { create, waitMs }) {
    checkPath(path)
    const root = await databaseRoot()
    const { FileSystemFileHandle: Handle } = globalThis as { FileSystemFileHandle?: { prototype: Partial<WorkerFileHandle> } }
    if (typeof Handle?.prototype.createSyncAccessHandle !== "function") {
      throw new StorageFailure("STORAGE_UNSUPPORTED", "this browser has no synchronous file access in workers", "OPFS")
    }
    const lock = await takeLock(path, waitMs)
    try {
      return { file: await openHandle(root, path, create, lock.isReal ? HANDLE_MS : Math.max(waitMs, HANDLE_ALONE_MS)), release: lock.release }
    } catch (error) {
      await lock.release()
      throw error
    }
  },
}

/** A path's lock, for as long as `release` is not called. */
export interface PathLock {
  /** Resolves when somebody else can take it. */
  release(): Promise<void>
  /** False where the browser has no Web Locks, and only the file's handle keeps others out. */
  readonly isReal: boolean
}

export async function takeLock(path: string, waitMs: number): Promise<PathLock> {
  const locks = (globalThis.navigator as Partial<Navigator> | undefined)?.locks
  if (!locks) return { release: async () => {}, isReal: false }
  return new Promise((resolve, reject) => {
    const held = (lock: Lock | null) => {
      if (!lock) return reject(busy(path, "another tab or worker has it open"))
      return new Promise<void>((letGo) => {
        const release = async () => {
          letGo()
          await gone
          // Asked over the same connection, the browser has let go before it answers. If it never does, nobody waits for ever.
          await Promise.race([locks.query().catch(() => {}), pause(RELEASE_MS)])
        }
        resolve({ release, isReal: true })
      })
    }
    const options: LockOptions = waitMs > 0 ? { signal: AbortSignal.timeout(waitMs) } : { ifAvailable: true }
    const gone = locks.request(`${LOCK_PREFIX}${path}`, options, held).then(
      () => {},
      (error: unknown) => {
        const { name } = error as Error
        const timedOut = name === "TimeoutError" || name === "AbortError"
        reject(timedOut ? busy(path, `another tab or worker has had it open for ${waitMs} ms`) : failed(path, error))
      },
    )
  })
}

/** The directory that holds all databases of the origin. */
export async function databaseRoot(): Promise<FileSystemDirectoryHandle> {
  const storage = (globalThis.navigator as Partial<Navigator> | undefined)?.storage
  if (typeof storage?.getDirectory !== "function") {
    const why = globalThis.isSecureContext === false ? "this page is not a secure context" : "this browser has none"
    throw new StorageFailure("STORAGE_UNSUPPORTED", `no origin private file system: ${why}`, "OPFS")
  }
  try {
    return await (await storage.getDirectory()).getDirectoryHandle(DIRECTORY, { create: true })
  } catch (cause) {
    if ((cause as Error).name === "QuotaExceededError") throw new StorageFailure("STORAGE_QUOTA", describe(cause), "OPFS", cause)
    // What browsers say in private windows and with storage switched off.
    throw new StorageFailure("STORAGE_UNSUPPORTED", `no origin private file system here: ${describe(cause)}`, "OPFS", cause)
  }
}

/** The directory of the path's file, and the file's name in it. Rejects like the file system does. */
export async function locate(root: FileSystemDirectoryHandle, path: string, create: boolean): Promise<[FileSystemDirectoryHandle, string]> {
  const names = path.split("/")
  const name = names.pop()!
  let directory = root
  for (const each of names) directory = await directory.getDirectoryHandle(each, { create })
  return [directory, name]
}

/** Throws `OPTION_INVALID` for a path that breaks the protocol's rules. */
export function checkPath(path: string): void {
  const invalid = (why: string) => new StorageFailure("OPTION_INVALID", `storage.path ${JSON.stringify(path)}: ${why}`, "storage.path")
  if (utf8Length(path) > 1024) throw invalid("longer than 1024 bytes")
  for (const name of path.split("/")) {
    if (name === "") throw invalid("an empty name")
    if (name === "." || name === "..") throw invalid(`the name ${name}`)
    if (utf8Length(name) > 255) throw invalid("a name longer than 255 bytes")
    if (/[\p{Cc}\\]/u.test(name)) throw invalid("a control character or a backslash")
    if (/\p{Cs}/u.test(name)) throw invalid("a lone surrogate")
    if (name.normalize("NFC") !== name) throw invalid("not in Unicode normalization form C")
  }
}

/** What the file system says, in the protocol's words. */
export function failed(path: string, error: unknown): StorageFailure {
  switch ((error as Error | undefined)?.name) {
    case "NotFoundError":
      return new StorageFailure("STORAGE_MISSING", `nothing is stored as ${JSON.stringify(path)}`, path, error)
    case "TypeMismatchError":
      return new StorageFailure("STORAGE_FAILED", `${JSON.stringify(path)}: a directory has a file's name, or a file a directory's`, path, error)
    case "QuotaExceededError":
      return new StorageFailure("STORAGE_QUOTA", describe(error), path, error)
    case "NoModificationAllowedError":
    case "NotReadableError":
    case "InvalidStateError":
      return busy(path, "something that is no Lix Engine has its file open", error)
    case "TypeError":
      return new StorageFailure("OPTION_INVALID", `storage.path ${JSON.stringify(path)}: the browser refuses it: ${describe(error)}`, "storage.path", error)
    default:
      return error instanceof StorageFailure ? error : new StorageFailure("STORAGE_FAILED", describe(error), path, error)
  }
}

export function busy(path: string, why: string, cause?: unknown): StorageFailure {
  return new StorageFailure("STORAGE_BUSY", `${JSON.stringify(path)} is in use: ${why}`, path, cause)
}

export const DIRECTORY = "lix-engine"
export const LOCK_PREFIX = "lix-engine:opfs:"

/** The handle, from whoever dies with it if need be. */
async function openHandle(root: FileSystemDirectoryHandle, path: string, create: boolean, patienceMs: number): Promise<SyncFile> {
  const until = performance.now() + patienceMs
  for (let pauseMs = 5; ; pauseMs = Math.min(pauseMs * 2, 200)) {
    try {
      const [directory, name] = await locate(root, path, create)
      return await ((await directory.getFileHandle(name, { create })) as WorkerFileHandle).createSyncAccessHandle()
    } catch (error) {
      const { name } = error as Error
      // Somebody who deletes an emptied directory can be faster than the file that is made in it.
      const passes = RETRIED.includes(name) || (create && name === "NotFoundError")
      if (!passes || performance.now() > until) throw failed(path, error)
    }
    await pause(pauseMs)
  }
}

/** What file handles can do in workers only, and TypeScript knows only there. */
interface WorkerFileHandle extends FileSystemFileHandle {
  createSyncAccessHandle(): Promise<SyncFile>
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length
}

function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}

const RETRIED = ["NoModificationAllowedError", "InvalidStateError"]
/** How long a dying worker may keep the handle of a file whose lock is ours. */
const HANDLE_MS = 5_000
/** The same without locks, when it could as well be somebody who stays. */
const HANDLE_ALONE_MS = 500
const RELEASE_MS = 1_000

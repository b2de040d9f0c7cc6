/**
 * What a shell lends the engine to keep a database in: a file that is found and locked
 * asynchronously, and read and written synchronously from then on.
 */

/** An open file: a `FileSystemSyncAccessHandle`, or anything with its methods. */
export interface SyncFile {
  getSize(): number
  read(into: Uint8Array, options: { at: number }): number
  write(from: Uint8Array, options: { at: number }): number
  truncate(size: number): void
  flush(): void
  close(): void
}

/** A file that nobody else has open. */
export interface OpenedFile {
  readonly file: SyncFile
  /** To be called once the file is closed; resolves when somebody else can open it. */
  release(): Promise<void>
}

/** Where files are opened. */
export interface Storage {
  readonly kind: "opfs" | "file"
  /** Rejects with a {@link StorageFailure}. */
  open(path: string, options: { create: boolean; waitMs: number }): Promise<OpenedFile>
}

/** Why a file cannot be had, in the words of the protocol's error registry. */
export class StorageFailure extends Error {
  constructor(
    readonly reason: "STORAGE_MISSING" | "STORAGE_BUSY" | "STORAGE_UNSUPPORTED" | "STORAGE_READONLY" | "STORAGE_QUOTA" | "STORAGE_FAILED" | "OPTION_INVALID",
    message: string,
    readonly subject: string,
    cause?: unknown,
  ) {
    super(message, { cause })
  }
}

/** Bytes that a worker hands to the file system, counted where it does so. Both run inside of workers. */

/** Starts to count, from zero. */
export function countWrites() {
  const count = (prototype) => {
    const { write } = prototype
    prototype.write = function (data, ...rest) {
      globalThis.bytesWritten += data.byteLength
      return write.call(this, data, ...rest)
    }
  }
  if (globalThis.bytesWritten === undefined) {
    count(FileSystemSyncAccessHandle.prototype)
    count(FileSystemWritableFileStream.prototype)
  }
  globalThis.bytesWritten = 0
}

/** How many since then. */
export function written() {
  return globalThis.bytesWritten
}

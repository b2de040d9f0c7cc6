const WAYS = {
  "no getDirectory": () => delete StorageManager.prototype.getDirectory,
  "no createSyncAccessHandle": () => delete FileSystemFileHandle.prototype.createSyncAccessHandle,
  "a private window": () => {
    StorageManager.prototype.getDirectory = () => Promise.reject(new DOMException("Security error when calling GetDirectory", "SecurityError"))
  },
  "no locks": () => delete WorkerNavigator.prototype.locks,
}

WAYS[new URLSearchParams(self.location.search).get("way")]()

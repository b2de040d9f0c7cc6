const post = self.postMessage.bind(self)

self.postMessage = (message, transfer) => {
  const buffers = [message.frame, ...(message.attachments ?? [])]
  const sizes = buffers.map((buffer) => buffer.byteLength)
  post(message, transfer)
  post({ audit: buffers.map((buffer, index) => ({ size: sizes[index], detached: buffer.byteLength === 0 })) })
}

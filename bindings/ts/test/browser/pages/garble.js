const post = self.postMessage.bind(self)
let answers = 0

const WAYS = {
  text: () => "hello",
  nothing: () => null,
  number: () => 42,
  "no frame": () => ({ v: 1 }),
  "another version": ({ frame }) => ({ v: 2, frame }),
  "a view": ({ frame }) => ({ v: 1, frame: new Uint8Array(frame) }),
  "text as frame": () => ({ v: 1, frame: "frame" }),
  noise: () => ({ v: 1, frame: Uint8Array.from({ length: 300 }, (_, index) => (index * 167 + 255) & 255).buffer }),
  "half a frame": ({ frame }) => ({ v: 1, frame: frame.slice(0, frame.byteLength >> 1) }),
  "an attachment too many": ({ frame }) => ({ v: 1, frame, attachments: [new ArrayBuffer(3)] }),
  "attachments that are none": ({ frame }) => ({ v: 1, frame, attachments: "attachments" }),
}

const way = WAYS[new URLSearchParams(self.location.search).get("way")]
self.postMessage = (message, transfer) => (answers++ === 0 ? post(message, transfer) : post(way(message)))

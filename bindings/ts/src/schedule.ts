/**
 * Runs a function in a later task, as soon as messages, input and painting have had their turn.
 *
 * A message channel, since timers are held back by 4 ms when nested and by seconds in a background
 * page; Node has its own and would be kept alive by an open channel.
 */
export const later: (run: () => void) => void = throughNode() ?? throughChannel()

function throughNode(): ((run: () => void) => void) | undefined {
  return (globalThis as { setImmediate?: (run: () => void) => void }).setImmediate
}

function throughChannel(): (run: () => void) => void {
  const waiting: (() => void)[] = []
  let channel: MessageChannel | undefined
  return (run) => {
    if (channel === undefined) {
      channel = new MessageChannel()
      channel.port1.onmessage = () => waiting.shift()?.()
    }
    waiting.push(run)
    channel.port2.postMessage(null)
  }
}

/** Whether the browser may clear this origin's storage when room gets short, and how much room there is. */

/**
 * Asks the browser not to clear this origin's storage by itself. Some browsers decide, some ask the
 * user; false where it is refused or unknown. Best called when the user has just done something worth keeping.
 */
export async function requestPersistence(): Promise<boolean> {
  return learn(await storage()?.persist?.())
}

/** Whether that was granted, now or earlier. */
export async function isPersisted(): Promise<boolean> {
  return learn(await storage()?.persisted?.())
}

/** Bytes this origin uses and may use, as far as the browser tells; both are estimates. */
export async function estimate(): Promise<{ usage?: number; quota?: number }> {
  const { usage, quota } = (await storage()?.estimate?.()) ?? {}
  return { ...(usage !== undefined && { usage }), ...(quota !== undefined && { quota }) }
}

/** What the browser said when it was last asked. */
export function lastKnownPersisted(): boolean | undefined {
  return persisted
}

function learn(answer: boolean | undefined): boolean {
  persisted = answer
  return answer ?? false
}

function storage(): Partial<StorageManager> | undefined {
  return (globalThis.navigator as Partial<Navigator> | undefined)?.storage
}

let persisted: boolean | undefined

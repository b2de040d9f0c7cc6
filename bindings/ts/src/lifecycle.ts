/**
 * An engine with a file follows its page: a page that is put aside lets the file go, so that another
 * one can open it, and takes it again when it comes back. Work goes on in memory meanwhile.
 *
 * A page that is hidden saves at once: on a phone that is often the last it hears.
 */

import type { EngineError } from "./errors.js"

/** What the page needs of the engine. */
export interface Follower {
  /** Saves what is unsaved, if that is possible now. Never rejects. */
  flush(): void
  /** Never rejects. */
  suspend(): Promise<void>
  resume(): Promise<void>
}

/** Where a page's life is told: `window`, and the document for what is told there. */
export interface PageTarget {
  addEventListener(type: string, listener: (event: Event) => void): void
  removeEventListener(type: string, listener: (event: Event) => void): void
  readonly document?: {
    readonly visibilityState: string
    addEventListener(type: string, listener: (event: Event) => void): void
    removeEventListener(type: string, listener: (event: Event) => void): void
  }
}

/** Starts following; returns the function that stops. Does nothing where there is no page. */
export function followPage(follower: Follower, page = globalThis as unknown as PageTarget): () => void {
  const { document } = page
  if (!document || typeof page.addEventListener !== "function") return () => {}
  let away = false
  let stopped = false
  let retry: ReturnType<typeof setTimeout> | undefined

  const leave = () => {
    clearTimeout(retry)
    if (away) return
    away = true
    void follower.suspend()
  }
  const comeBack = () => {
    if (!away) return
    away = false
    takeBack(RETRY_MS)
  }
  /** Whoever opened the file meanwhile may close it again; until then the session lives in memory. */
  const takeBack = (retryMs: number) => {
    follower.resume().catch((error: EngineError) => {
      if (away || stopped || error.code !== "STORAGE" || error.reason === "STORAGE_LOST") return
      retry = setTimeout(() => takeBack(Math.min(retryMs * 2, MAX_RETRY_MS)), retryMs)
    })
  }
  const hide = () => {
    if (document.visibilityState === "hidden") follower.flush()
  }
  const show = (event: Event) => {
    if ((event as PageTransitionEvent).persisted) comeBack()
  }

  page.addEventListener("pagehide", leave)
  page.addEventListener("pageshow", show)
  document.addEventListener("freeze", leave)
  document.addEventListener("resume", comeBack)
  document.addEventListener("visibilitychange", hide)
  return () => {
    stopped = true
    clearTimeout(retry)
    page.removeEventListener("pagehide", leave)
    page.removeEventListener("pageshow", show)
    document.removeEventListener("freeze", leave)
    document.removeEventListener("resume", comeBack)
    document.removeEventListener("visibilitychange", hide)
  }
}

const RETRY_MS = 1_000
const MAX_RETRY_MS = 10_000

/**
 * What is known about saving, from every answer and event: `savedSeq` is true also between answers.
 * Under strict durability there are no events unless the user wants them; the answers say it all.
 */

import type { EngineError } from "./errors.js"
import { lastKnownPersisted } from "./persist.js"
import type { EngineEvents, EnginePhase, EngineStatus, SessionState } from "./types.js"

export class SaveStatus {
  #storage: EngineStatus["storage"]
  #path: string | undefined
  #saving = false
  #suspended = false
  #commitSeq = 0
  #savedSeq = 0
  #lastSave: EngineStatus["lastSave"]
  #lastError: EngineError | undefined
  /** The commit whose answer that error was: saved, it is history. */
  #failedSeq: number | undefined

  opened(storage: NonNullable<EngineStatus["storage"]>, path: string | undefined): void {
    this.#storage = storage
    this.#path = storage === "memory" ? undefined : path
  }

  autosave({ phase, commitSeq, bytes, error }: EngineEvents["autosave"]): void {
    this.#commitSeq = Math.max(this.#commitSeq, commitSeq)
    if (phase === "started") this.#saving = true
    if (phase === "saved") {
      this.#saving = false
      this.#savedSeq = Math.max(this.#savedSeq, commitSeq)
      this.#lastSave = { commitSeq, bytes, at: new Date() }
      this.#lastError = undefined
    }
    if (phase === "failed") this.failed(error)
  }

  committed(commitSeq: number): void {
    this.#commitSeq = Math.max(this.#commitSeq, commitSeq)
  }

  failed(error: EngineError | undefined, answeredSeq?: number): void {
    this.#saving = false
    this.#lastError = error
    this.#failedSeq = answeredSeq
  }

  suspended(is: boolean): void {
    this.#suspended = is
    if (is) this.#saving = false
    // It was about the storage that could not be had back.
    else this.#lastError = undefined
  }

  /** The session as the newest answer had it, and what events said since. */
  merge(state: SessionState): SessionState {
    if (this.#savedSeq <= state.savedSeq && this.#commitSeq <= state.commitSeq) return state
    const commitSeq = Math.max(this.#commitSeq, state.commitSeq)
    return { ...state, commitSeq, savedSeq: Math.max(this.#savedSeq, state.savedSeq) }
  }

  status(phase: EnginePhase, state: SessionState): EngineStatus {
    const { commitSeq, savedSeq } = this.merge(state)
    const isLive = phase === "ready" || phase === "closing"
    const isStored = this.#storage !== undefined && this.#storage !== "memory"
    const lastError = this.#failedSeq !== undefined && savedSeq >= this.#failedSeq ? undefined : this.#lastError
    const persisted = this.#storage === "opfs" ? lastKnownPersisted() : undefined
    return {
      phase,
      storage: this.#storage,
      path: this.#path,
      saving: isLive && this.#saving,
      unsaved: isStored && commitSeq > savedSeq,
      commitSeq,
      savedSeq,
      suspended: isLive && this.#suspended,
      ...(this.#lastSave && { lastSave: this.#lastSave }),
      ...(lastError && { lastSaveError: lastError }),
      ...(persisted !== undefined && { persisted }),
    }
  }
}

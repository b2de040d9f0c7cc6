/**
 * What other code of the page is told of commits.
 */

import type { LixEngine, StateChange } from "../types.js"
import type { JsonObject } from "./columns.js"

/** Hooks of a lix. */
export interface LixHooks {
  /**
   * Calls the handler after each commit that changed state, before the call that caused it settles. Handlers run in the
   * order of their registration. What one throws is reported like any uncaught error: nothing is undone, and the others
   * run. Returns the function that stops.
   *
   * ```ts
   * const stop = lix.hooks.onStateCommit(({ changes }) => {
   *   for (const change of changes) console.log(change.schema_key, change.entity_id, change.snapshot_content)
   * })
   * ```
   */
  onStateCommit(handler: (commit: StateCommit) => void): () => void
}

/** A commit that changed state. */
export interface StateCommit {
  /**
   * Tracked and untracked rows together: the changes of each commit, each with its element of the change set, then
   * untracked rows, then authors, commits, tips and edges.
   */
  readonly changes: readonly StateCommitChange[]
  /** More changed than the engine may list; `changes` is the beginning. */
  readonly truncated: boolean
}

/** A row that a commit wrote. */
export interface StateCommitChange extends Omit<StateChange, "snapshot_content"> {
  /** The entity afterwards, null if it was deleted. */
  readonly snapshot_content: JsonObject | null
}

/** `guard` throws once the lix is closed. */
export function createHooks(engine: LixEngine, guard: () => void): LixHooks {
  return {
    onStateCommit(handler) {
      guard()
      return engine.on("commit", ({ changes, truncated = false }) => {
        if (!changes || (changes.length === 0 && !truncated)) return
        handler({ changes: changes as readonly StateCommitChange[], truncated })
      })
    },
  }
}

/**
 * What engines were opened with, for code of this package that takes over an open one.
 */

import type { LixPlugin } from "./plugins/plugin.js"
import type { InitOptions } from "./types.js"

export interface Opened {
  readonly isLix: boolean
  readonly events: NonNullable<InitOptions["events"]>
  readonly commitDetail: InitOptions["commitDetail"]
  /** As objects, or as the text of their modules. */
  readonly plugins: readonly (LixPlugin | string)[]
}

/** By engine; engines that are not of this package, and those that are not open, are absent. */
export const OPENED = new WeakMap<object, Opened>()

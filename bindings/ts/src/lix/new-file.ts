/** A new lix as a file. */

import type { LixEngine } from "../types.js"
import { defaultEngine, keyValuesOf, lixKeyValues, onlyKnown, type LixKeyValueOption } from "./open.js"

/** A file that is a lix, with its identity. */
export type LixFileBlob = Blob & { readonly _lix: { readonly id: string; readonly name: string } }

/**
 * Makes a lix that is kept nowhere and returns its file, to give to `openLix({ blob })`, store or send.
 *
 * ```ts
 * const blob = await newLixFile({ keyValues: [{ key: "lix_name", value: "notes" }] })
 * console.log(blob._lix.name) // notes
 * ```
 */
export async function newLixFile(options: { keyValues?: readonly LixKeyValueOption[] | undefined } = {}): Promise<LixFileBlob> {
  onlyKnown(options, ["keyValues"])
  const keyValues = keyValuesOf(options.keyValues)
  const engine: LixEngine = defaultEngine()
  try {
    await engine.init({ lix: { keyValues: lixKeyValues(keyValues) } })
    const { rows } = await engine.exec<{ key: string; value: string }>(IDENTITY)
    const { lix_id: id = "", lix_name: name = "" } = Object.fromEntries(rows.map(({ key, value }) => [key, value]))
    return Object.assign(new Blob([await engine.export()]), { _lix: { id, name } })
  } finally {
    await engine.close()
  }
}

/** Wherever they are: `lix_name` may have been given for any version. */
const IDENTITY = "select key, value from key_value_all where key in ('lix_id', 'lix_name') and lixcol_inherited_from_version_id is null"

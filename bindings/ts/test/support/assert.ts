import assert from "node:assert/strict"
import { EngineError, type EngineErrorFields } from "../../src/errors.js"

/** The promise rejects with an `EngineError` of this code and reason; returns it for a closer look. */
export async function rejects(promise: Promise<unknown>, expected: string, fields: EngineErrorFields = {}): Promise<EngineError> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => error,
  )
  assert.ok(outcome instanceof EngineError, `expected ${expected}, got ${String(outcome)}`)
  assert.equal(`${outcome.code}/${outcome.reason}`, expected, outcome.message)
  for (const [name, value] of Object.entries(fields)) assert.deepEqual(outcome[name as keyof EngineError], value, name)
  return outcome
}

/** Resolves in a later task: everything that is on its way has arrived. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

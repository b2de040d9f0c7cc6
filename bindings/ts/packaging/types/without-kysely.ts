// Compiles where kysely is not installed.
import { createMainMemoryEngine, type LixEngine } from "lix-engine"

export const engine: LixEngine = createMainMemoryEngine()

/** Kysely over any engine. */

export { LixDialect, type LixDialectConfig, type LixDialectEngine } from "./dialect.js"

/**
 * A lix: tables under change control, typed for Kysely, observable, with everything the engine's procedures do as
 * functions.
 *
 * ```ts
 * import { createWorkerOpfsEngine } from "lix-engine"
 * import { openLix } from "lix-engine/lix"
 *
 * const lix = await openLix({ engine: createWorkerOpfsEngine({ path: "notes.lix" }) })
 * lix.observe(lix.db.selectFrom("file").select("path")).subscribe((files) => render(files))
 * ```
 */

export { openLix, type Lix, type LixKeyValueOption, type OpenLixOptions } from "./open.js"
export { newLixFile, type LixFileBlob } from "./new-file.js"
export {
  LIX_TABLES, type ActiveAccountTable, type ActiveVersionTable, type ChangeTable, type LixDatabaseSchema, type LixInsert, type LixRow, type LixUpdate, type StateHistoryTable,
  type StateTable, type VersionProperties,
} from "./tables.js"
export type {
  EntityAllTable, EntityColumns, EntityHistoryColumns, EntityHistoryTable, EntityTable, EntityTablesOf, FlagColumn, JsonColumn, JsonObject, JsonValue, ReadOnlyColumn,
} from "./columns.js"
export type { ThreadCommentBlock, ThreadCommentBody, ThreadCommentMark, ThreadCommentSpan, ThreadCommentTextBlock } from "./schema.js"
export type { LixHooks, StateCommit, StateCommitChange } from "./hooks.js"
export type { LixObservable, LixObserver, LixSubscription, ObservableQuery, ObserveOptions } from "./observe.js"
export {
  applyChangeSet, commitIsAncestorOf, commitIsDescendantOf, createAccount, createChangeSet, createCheckpoint, createEntityLabel, createEntityThread, createLabel, createLog,
  createThread, createThreadComment, createVersion, createVersionFromCommit, deleteEntityLabel, deleteEntityThread, ebEntity, executeSync, generateHumanId, humanId,
  isDeterministicMode, mergeVersion, nanoId, nextDeterministicSequenceNumber, random, selectVersionDiff, selectWorkingDiff, switchAccount, switchVersion, timestamp, transition,
  uuidV7, type DiffQuery, type EntityFilters, type LixCommit, type LixContext, type LixDiff, type LixEntity, type LixThreadComment, type LixVersion, type WithId,
} from "./helpers.js"
export type { LixPlugin } from "../plugins/plugin.js"
export { EngineError } from "../errors.js"
export { sql } from "kysely"
export { jsonArrayFrom, jsonBuildObject, jsonObjectFrom } from "kysely/helpers/sqlite"

// The columns of every table as the types have them: what is missing here, or is not in the types, does not compile.

import type { LixDatabaseSchema } from "../../src/lix/index.js"

const HISTORY = {
  lixcol_entity_id: true, lixcol_schema_key: true, lixcol_plugin_key: true, lixcol_file_id: true, lixcol_change_id: true, lixcol_commit_id: true, lixcol_schema_version: true,
  lixcol_root_commit_id: true, lixcol_depth: true,
} as const
const SHOWN = {
  lixcol_entity_id: true, lixcol_schema_key: true, lixcol_file_id: true, lixcol_inherited_from_version_id: true, lixcol_created_at: true, lixcol_updated_at: true,
  lixcol_change_id: true, lixcol_commit_id: true, lixcol_untracked: true,
} as const
const ENTITY = { ...SHOWN, lixcol_plugin_key: true } as const
const CHANGE = { entity_id: true, schema_key: true, schema_version: true, file_id: true, plugin_key: true, snapshot_content: true } as const
const STATE = { ...CHANGE, created_at: true, updated_at: true, inherited_from_version_id: true, change_id: true, untracked: true, commit_id: true } as const
const VERSION = { id: true, name: true, commit_id: true, working_commit_id: true, inherits_from_version_id: true, hidden: true } as const
const ACTIVE = {
  lixcol_inherited_from_version_id: true, lixcol_created_at: true, lixcol_updated_at: true, lixcol_file_id: true, lixcol_change_id: true, lixcol_untracked: true,
} as const
const FILE = { id: true, path: true, metadata: true, hidden: true, data: true } as const

export const COLUMNS: { readonly [Table in keyof LixDatabaseSchema]: { readonly [Column in keyof LixDatabaseSchema[Table]]-?: true } } = {
  account: { id: true, name: true, ...ENTITY },
  account_all: { id: true, name: true, ...ENTITY, lixcol_version_id: true },
  account_history: { id: true, name: true, ...HISTORY },
  change_author: { change_id: true, account_id: true, ...ENTITY },
  change_author_all: { change_id: true, account_id: true, ...ENTITY, lixcol_version_id: true },
  change_author_history: { change_id: true, account_id: true, ...HISTORY },
  change_set: { id: true, metadata: true, ...ENTITY },
  change_set_all: { id: true, metadata: true, ...ENTITY, lixcol_version_id: true },
  change_set_history: { id: true, metadata: true, ...HISTORY },
  change_set_element: { change_set_id: true, change_id: true, entity_id: true, schema_key: true, file_id: true, ...ENTITY },
  change_set_element_all: { change_set_id: true, change_id: true, entity_id: true, schema_key: true, file_id: true, ...ENTITY, lixcol_version_id: true },
  change_set_element_history: { change_set_id: true, change_id: true, entity_id: true, schema_key: true, file_id: true, ...HISTORY },
  change_set_label: { change_set_id: true, label_id: true, metadata: true, ...ENTITY },
  change_set_label_all: { change_set_id: true, label_id: true, metadata: true, ...ENTITY, lixcol_version_id: true },
  change_set_label_history: { change_set_id: true, label_id: true, metadata: true, ...HISTORY },
  commit: { id: true, change_set_id: true, change_ids: true, author_account_ids: true, parent_commit_ids: true, meta_change_ids: true, ...ENTITY },
  commit_all: { id: true, change_set_id: true, change_ids: true, author_account_ids: true, parent_commit_ids: true, meta_change_ids: true, ...ENTITY, lixcol_version_id: true },
  commit_history: { id: true, change_set_id: true, change_ids: true, author_account_ids: true, parent_commit_ids: true, meta_change_ids: true, ...HISTORY },
  commit_edge: { parent_id: true, child_id: true, ...ENTITY },
  commit_edge_all: { parent_id: true, child_id: true, ...ENTITY, lixcol_version_id: true },
  commit_edge_history: { parent_id: true, child_id: true, ...HISTORY },
  entity_label: { entity_id: true, schema_key: true, file_id: true, label_id: true, ...ENTITY },
  entity_label_all: { entity_id: true, schema_key: true, file_id: true, label_id: true, ...ENTITY, lixcol_version_id: true },
  entity_label_history: { entity_id: true, schema_key: true, file_id: true, label_id: true, ...HISTORY },
  entity_thread: { entity_id: true, schema_key: true, file_id: true, thread_id: true, ...ENTITY },
  entity_thread_all: { entity_id: true, schema_key: true, file_id: true, thread_id: true, ...ENTITY, lixcol_version_id: true },
  entity_thread_history: { entity_id: true, schema_key: true, file_id: true, thread_id: true, ...HISTORY },
  key_value: { key: true, value: true, ...ENTITY },
  key_value_all: { key: true, value: true, ...ENTITY, lixcol_version_id: true },
  key_value_history: { key: true, value: true, ...HISTORY },
  label: { id: true, name: true, ...ENTITY },
  label_all: { id: true, name: true, ...ENTITY, lixcol_version_id: true },
  label_history: { id: true, name: true, ...HISTORY },
  log: { id: true, key: true, message: true, level: true, ...ENTITY },
  log_all: { id: true, key: true, message: true, level: true, ...ENTITY, lixcol_version_id: true },
  log_history: { id: true, key: true, message: true, level: true, ...HISTORY },
  stored_schema: { key: true, version: true, value: true, ...ENTITY },
  stored_schema_all: { key: true, version: true, value: true, ...ENTITY, lixcol_version_id: true },
  stored_schema_history: { key: true, version: true, value: true, ...HISTORY },
  thread: { id: true, metadata: true, ...ENTITY },
  thread_all: { id: true, metadata: true, ...ENTITY, lixcol_version_id: true },
  thread_history: { id: true, metadata: true, ...HISTORY },
  thread_comment: { id: true, thread_id: true, parent_id: true, body: true, ...ENTITY },
  thread_comment_all: { id: true, thread_id: true, parent_id: true, body: true, ...ENTITY, lixcol_version_id: true },
  thread_comment_history: { id: true, thread_id: true, parent_id: true, body: true, ...HISTORY },
  state: STATE,
  state_all: { ...STATE, version_id: true },
  state_with_tombstones: { ...STATE, version_id: true },
  state_history: { ...CHANGE, change_id: true, commit_id: true, root_commit_id: true, depth: true },
  change: { ...CHANGE, id: true, created_at: true },
  version: { ...VERSION, ...SHOWN },
  version_all: { ...VERSION, ...ENTITY, lixcol_schema_version: true, lixcol_version_id: true },
  version_history: { ...VERSION, ...HISTORY },
  active_version: { version_id: true, ...ACTIVE },
  active_account: { account_id: true, ...ACTIVE },
  file: { ...FILE, ...SHOWN },
  file_all: { ...FILE, ...SHOWN, lixcol_version_id: true },
  file_history: { ...FILE, ...HISTORY },
}

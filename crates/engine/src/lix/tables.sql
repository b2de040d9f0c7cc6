-- What a lix stores. `_lix_change`, `_lix_untracked`, `_lix_blob` and `_lix_file_data` are the truth; everything from
-- `_lix_commit` on is computed from them and can be computed again. All ids are the public ones; `seq` and `no` are
-- numbers of this file.

-- What the engine remembers about the file: schema_version, sequence_number, rng_state.
create table _lix_meta (
  key text not null primary key,
  value any
) strict, without rowid;

-- Every change ever made, in the order of writing. A NULL snapshot is a deletion.
create table _lix_change (
  seq integer primary key,
  id text not null unique,
  entity_id text not null,
  schema_key text not null,
  schema_version text not null,
  file_id text not null,
  plugin_key text not null,
  created_at text not null check (created_at like '%Z'),
  snapshot text
) strict;
create index _lix_change_entity on _lix_change (schema_key, entity_id, file_id);
create index _lix_change_file on _lix_change (file_id) where file_id <> 'lix';
create index _lix_change_blob on _lix_change (snapshot ->> '$.hash') where schema_key = 'lix_unknown_file';

-- Untracked rows. A NULL snapshot hides what lies below.
create table _lix_untracked (
  version_id text not null,
  schema_key text not null,
  entity_id text not null,
  file_id text not null,
  plugin_key text not null,
  schema_version text not null,
  created_at text not null,
  updated_at text not null,
  snapshot text,
  primary key (version_id, schema_key, entity_id, file_id)
) strict, without rowid;
create index _lix_untracked_file on _lix_untracked (version_id, file_id, schema_key, entity_id)
  where file_id <> 'lix';
create index _lix_untracked_blob on _lix_untracked (snapshot ->> '$.hash') where schema_key = 'lix_unknown_file';

-- The bytes of files that no plugin takes apart, by SHA-256. Changes and untracked rows refer to them.
create table _lix_blob (
  hash text not null primary key,
  data blob not null
) strict;

-- The bytes that were last written to a file in a version, and the plugin that took them apart: what there is to show
-- where that plugin is not loaded. `fingerprint` says to which entities they belong. No change refers to them.
create table _lix_file_data (
  version_id text not null,
  file_id text not null,
  plugin_key text not null,
  fingerprint text not null,
  data blob not null,
  primary key (version_id, file_id)
) strict;
create index _lix_file_data_file on _lix_file_data (file_id, fingerprint);

-- Commits. `id` is NULL while the transaction that fills the commit is open; `change_seq` is NULL for a commit that is
-- only known by name. `version_id` is the version on whose line it lies, NULL for commits that never were a tip.
create table _lix_commit (
  no integer primary key,
  id text unique,
  version_id text,
  change_set_id text,
  change_seq integer,
  created_at text
) strict;
create index _lix_commit_pending on _lix_commit (version_id) where id is null;
create index _lix_commit_change_set on _lix_commit (change_set_id);

create table _lix_commit_parent (
  commit_no integer not null,
  position integer not null,
  parent_no integer not null,
  primary key (commit_no, position)
) strict, without rowid;
create index _lix_commit_child on _lix_commit_parent (parent_no);

create table _lix_commit_change (
  commit_no integer not null,
  change_seq integer not null,
  primary key (commit_no, change_seq)
) strict, without rowid;
create index _lix_change_commit on _lix_commit_change (change_seq);

create table _lix_commit_author (
  commit_no integer not null,
  account_id text not null,
  primary key (commit_no, account_id)
) strict, without rowid;

-- The winning change of every key that a version holds itself. `created_at` is NULL where it is the change's.
create table _lix_state (
  version_id text not null,
  schema_key text not null,
  entity_id text not null,
  file_id text not null,
  change_seq integer not null,
  commit_no integer not null,
  created_at text,
  is_deleted integer not null,
  primary key (version_id, schema_key, entity_id, file_id)
) strict, without rowid;
create index _lix_state_file on _lix_state (version_id, file_id, schema_key, entity_id) where file_id <> 'lix';

-- Rows that `_lix_state` held from commit_no until (not including) until_no, kept where a version is based on a commit
-- in between.
create table _lix_state_past (
  version_id text not null,
  schema_key text not null,
  entity_id text not null,
  file_id text not null,
  until_no integer not null,
  change_seq integer not null,
  commit_no integer not null,
  created_at text,
  is_deleted integer not null,
  primary key (version_id, schema_key, entity_id, file_id, until_no)
) strict, without rowid;
create index _lix_state_past_file on _lix_state_past (version_id, file_id, schema_key, entity_id)
  where file_id <> 'lix';

-- Where a version's line begins: it shares the rows of base_version_id as of commit base_no. Versions that start from
-- nothing or from a copy have no row.
create table _lix_base (
  version_id text not null primary key,
  base_version_id text not null,
  base_no integer not null
) strict, without rowid;
create index _lix_base_of on _lix_base (base_version_id, base_no);

-- What changed in a version since its last checkpoint, and what was there before (NULL: nothing).
create table _lix_working (
  version_id text not null,
  schema_key text not null,
  entity_id text not null,
  file_id text not null,
  base_seq integer,
  primary key (version_id, schema_key, entity_id, file_id)
) strict, without rowid;

-- Keys that hold, or once held, a value in constrained properties; candidates only, the row decides.
create table _lix_lookup (
  schema_key text not null,
  properties text not null,
  value text not null,
  entity_id text not null,
  file_id text not null,
  primary key (schema_key, properties, value, entity_id, file_id)
) strict, without rowid;

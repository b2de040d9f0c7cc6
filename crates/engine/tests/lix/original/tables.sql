-- The tables of the original as docs/compatibility.md lists them, with some of its views and triggers.

create table internal_snapshot (
  id text primary key,
  content blob,
  check (json_valid(content, 8)),
  check (content is null or json_type(content) = 'object')
) strict;
insert into internal_snapshot values ('no-content', null);
create table internal_change (
  id text primary key default (uuid_v7()),
  entity_id text not null, schema_key text not null, schema_version text not null, file_id text not null,
  plugin_key text not null, snapshot_id text not null,
  created_at text not null default current_timestamp check (created_at like '%Z'),
  unique (id, entity_id, file_id, schema_key),
  foreign key (snapshot_id) references internal_snapshot (id)
) strict;
create table internal_transaction_state (
  id text primary key,
  entity_id text not null, schema_key text not null, schema_version text not null, file_id text not null,
  plugin_key text not null, lixcol_version_id text not null, snapshot_content blob, created_at text not null,
  lixcol_untracked integer not null default 0,
  unique (entity_id, file_id, schema_key, lixcol_version_id)
) strict;
create table internal_state_all_untracked (
  entity_id text not null, schema_key text not null, file_id text not null, version_id text not null,
  plugin_key text not null, snapshot_content blob, schema_version text not null,
  created_at text not null check (created_at like '%Z'), updated_at text not null check (updated_at like '%Z'),
  inherited_from_version_id text,
  inheritance_delete_marker integer default 0 check (inheritance_delete_marker in (0, 1)),
  primary key (entity_id, schema_key, file_id, version_id)
) strict;
create index internal_untracked_version on internal_state_all_untracked (version_id);
create table internal_state_cache_lix_key_value (
  entity_id text not null, schema_key text not null, file_id text not null, version_id text not null,
  plugin_key text not null, snapshot_content blob, schema_version text not null, created_at text not null,
  updated_at text not null, inherited_from_version_id text, inheritance_delete_marker integer default 0,
  change_id text not null, commit_id text not null,
  primary key (entity_id, file_id, version_id)
) strict, without rowid;
create table internal_file_data_cache (file_id text, version_id text, data blob, primary key (file_id, version_id)) strict;
create table internal_file_lixcol_cache (
  file_id text, version_id text, latest_change_id text, latest_commit_id text, created_at text, updated_at text,
  primary key (file_id, version_id)
) strict;
pragma writable_schema = on;
insert into sqlite_schema values
  ('table', 'internal_state_vtable', 'internal_state_vtable', 0,
   'CREATE VIRTUAL TABLE internal_state_vtable USING internal_state_vtable()'),
  ('table', 'internal_state_cache', 'internal_state_cache', 0,
   'CREATE VIRTUAL TABLE internal_state_cache USING state_cache_of_original');
pragma writable_schema = reset;
create view internal_resolved_state_all as select * from internal_state_vtable;
create view state_all as select * from internal_state_vtable where snapshot_content is not null;
create trigger state_all_delete instead of delete on state_all begin
  delete from internal_state_vtable where _pk = old._pk;
end;
create view state as select * from state_all where version_id in (select version_id from active_version);
create view active_version as select snapshot_content ->> 'version_id' as version_id from state_all;
create view key_value as select snapshot_content ->> 'key' as key from state;
create view key_value_history as select 1 as key;
create view change as select * from internal_change;
create view file as select lix_file_data(entity_id) as data from state_all;

-- What a user put beside it.
create table notes (id integer primary key, text text);
insert into notes values (1, 'kept');
create view notes_in_state as select text from notes where exists (select 1 from key_value where key = 'a');
create table internal_notes (a);
insert into internal_notes values (1);

-- The log and the untracked rows of an image of the original, taken over into the tables of tables.sql.

insert into _lix_change (seq, id, entity_id, schema_key, schema_version, file_id, plugin_key, created_at, snapshot)
  select c.rowid, c.id, c.entity_id, c.schema_key, c.schema_version, c.file_id, c.plugin_key, c.created_at, json(s.content)
  from internal_change c join internal_snapshot s on s.id = c.snapshot_id order by c.rowid;

-- Rewritten through SQL, a boolean had become a number.
update _lix_change set snapshot = json_set(snapshot, '$.hidden', json(iif(snapshot ->> '$.hidden', 'true', 'false')))
  where schema_key = 'lix_version_descriptor' and json_type(snapshot, '$.hidden') = 'integer';

-- The elements of a checkpoint were untracked rows of its change set; here they are the changes of the commit.
update _lix_change set snapshot = json_set(snapshot, '$.change_ids', json((
    select json_group_array(id) from (
      select c.id from internal_state_all_untracked u
      join _lix_change c on c.id = u.snapshot_content ->> '$.change_id'
      where u.schema_key = 'lix_change_set_element'
        and u.snapshot_content ->> '$.change_set_id' = _lix_change.snapshot ->> '$.change_set_id'
      order by c.seq))))
  where seq in (select max(seq) from _lix_change where schema_key = 'lix_commit' group by entity_id)
    and entity_id in (select snapshot ->> '$.commit_id' from _lix_change where schema_key = 'lix_version_tip')
    and json_array_length(snapshot, '$.change_ids') = 0;

-- The descriptor that a checkpoint wrote was in no commit. It belongs where the working commit is that it names; if
-- that is nowhere, to the next commit of global.
with
  member (id, commit_seq) as materialized (
    select j.value, c.seq from _lix_change c, json_each(c.snapshot, '$.change_ids') j
    where c.schema_key = 'lix_commit' and j.type = 'text'),
  lost (id, commit_seq) as materialized (
    select d.id, coalesce(
      (select m.commit_seq from _lix_change w join member m on m.id = w.id
       where w.schema_key = 'lix_commit' and w.entity_id = d.snapshot ->> '$.working_commit_id' order by w.seq limit 1),
      (select c.seq from _lix_change t
       join _lix_change c on c.schema_key = 'lix_commit' and c.entity_id = t.snapshot ->> '$.commit_id'
       where t.schema_key = 'lix_version_tip' and t.entity_id = 'global'
       order by t.seq < d.seq, abs(t.seq - d.seq), c.seq limit 1))
    from _lix_change d where d.schema_key = 'lix_version_descriptor' and d.id not in (select id from member))
update _lix_change set snapshot = json_set(snapshot, '$.change_ids', json((
    select json_group_array(id) from (
      select value as id from json_each(_lix_change.snapshot, '$.change_ids')
      union all select id from lost where commit_seq = _lix_change.seq))))
  where seq in (select commit_seq from lost);

-- What the engine remembers was in user space, and the elements of commits follow from the commits.
insert or replace into _lix_meta (key, value)
  select 'sequence_number', snapshot_content ->> '$.value' from internal_state_all_untracked
  where entity_id = 'lix_deterministic_sequence_number' and schema_key = 'lix_key_value'
    and json_type(snapshot_content, '$.value') = 'integer'
  union all
  select 'rng_state', (snapshot_content ->> '$.value.hi') || ' ' || (snapshot_content ->> '$.value.lo')
  from internal_state_all_untracked
  where entity_id = 'lix_deterministic_rng_state' and schema_key = 'lix_key_value';
insert into _lix_untracked
  (version_id, schema_key, entity_id, file_id, plugin_key, schema_version, created_at, updated_at, snapshot)
  select version_id, schema_key, entity_id, file_id, plugin_key, schema_version, created_at, updated_at, json(snapshot_content)
  from internal_state_all_untracked
  where not (schema_key = 'lix_key_value' and entity_id in ('lix_state_cache_stale', 'lix_skip_file_handlers',
      'lix_deterministic_sequence_number', 'lix_deterministic_rng_state'))
    and not (schema_key = 'lix_change_set_element' and substr(entity_id, 1, instr(entity_id, '~') - 1) in
      (select snapshot ->> '$.change_set_id' from _lix_change where schema_key = 'lix_commit'
       and snapshot ->> '$.change_set_id' is not null));

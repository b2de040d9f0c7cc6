-- What the original had written after: a new lix; a = 1 and gone = 1 in main; a schema of a user and an entity of it; a
-- version draft; a = 2 and d = 1 there and gone deleted; draft merged into main; a checkpoint of main; b = 1 in main;
-- g = 1 in global; untracked rows. {stored_schemas} are changes of the stored schemas, as the first commit has them.

create temp table log (id, schema_key, entity_id, content, at);
create temp trigger write after insert on log begin
  insert into internal_snapshot select 's-' || new.id, jsonb(new.content) where new.content is not null;
  insert into internal_change values (new.id, new.entity_id, new.schema_key, '1.0', 'lix',
    iif(new.schema_key = 'note', 'notes', 'lix_own_entity'), iif(new.content is null, 'no-content', 's-' || new.id),
    '2025-09-01T00:00:' || printf('%02d', new.at) || '.000Z');
end;

insert into log values
  ('bs1', 'lix_change_set', 'set-g0', '{"id":"set-g0","metadata":null}', 0),
  ('bs2', 'lix_change_set', 'set-gw', '{"id":"set-gw","metadata":null}', 0),
  ('bs3', 'lix_change_set', 'set-m0', '{"id":"set-m0","metadata":null}', 0),
  ('bs4', 'lix_change_set', 'set-mw', '{"id":"set-mw","metadata":null}', 0),
  ('bc1', 'lix_commit', 'g0', '{"id":"g0","change_set_id":"set-g0","change_ids":["bs1","bs2","bs3","bs4","bc1","bc2","bc3","bc4","bd1","bt1","bd2","bt2","bl","bk1"{stored_schema_ids}],"parent_commit_ids":[]}', 0),
  ('bc2', 'lix_commit', 'm0', '{"id":"m0","change_set_id":"set-m0","change_ids":["bk2"],"parent_commit_ids":[]}', 0),
  ('bc3', 'lix_commit', 'gw', '{"id":"gw","change_set_id":"set-gw","change_ids":[],"parent_commit_ids":[]}', 0),
  ('bc4', 'lix_commit', 'mw', '{"id":"mw","change_set_id":"set-mw","change_ids":[],"parent_commit_ids":[]}', 0),
  ('bd1', 'lix_version_descriptor', 'global', '{"id":"global","name":"global","working_commit_id":"gw","inherits_from_version_id":null,"hidden":true}', 0),
  ('bt1', 'lix_version_tip', 'global', '{"id":"global","commit_id":"g0"}', 0),
  ('bd2', 'lix_version_descriptor', 'main-id', '{"id":"main-id","name":"main","working_commit_id":"mw","inherits_from_version_id":"global","hidden":false}', 0),
  ('bt2', 'lix_version_tip', 'main-id', '{"id":"main-id","commit_id":"m0"}', 0),
  ('bl', 'lix_label', 'label-id', '{"id":"label-id","name":"checkpoint"}', 0),
  ('bk1', 'lix_key_value', 'lix_id', '{"key":"lix_id","value":"id-of-the-lix"}', 0),
  ('bk2', 'lix_key_value', 'lix_name', '{"key":"lix_name","value":"its name"}', 0);
insert into log {stored_schemas};
-- Elements of the first commits, and elements of elements, which no commit lists.
insert into log
  select 'e-' || id, 'lix_change_set_element', 'set-g0~' || id, json_object('change_set_id', 'set-g0', 'change_id', id,
    'entity_id', entity_id, 'schema_key', schema_key, 'file_id', 'lix'), 0
  from internal_change order by rowid;
insert into log
  select 'e-' || id, 'lix_change_set_element', 'set-g0~' || id, json_object('change_set_id', 'set-g0', 'change_id', id,
    'entity_id', entity_id, 'schema_key', schema_key, 'file_id', 'lix'), 0
  from internal_change where schema_key = 'lix_change_set_element' order by rowid;

insert into log values
  ('a1', 'lix_key_value', 'a', '{"key":"a","value":1}', 1),
  ('gone1', 'lix_key_value', 'gone', '{"key":"gone","value":1}', 1),
  ('t-c1', 'lix_version_tip', 'main-id', '{"id":"main-id","commit_id":"c1"}', 1),
  ('c-c1', 'lix_commit', 'c1', '{"id":"c1","change_set_id":"set-c1","change_ids":["a1","gone1"],"author_account_ids":["me"],"meta_change_ids":["t-c1"],"parent_commit_ids":["m0"]}', 1),

  ('schema', 'lix_stored_schema', 'note~1.0', '{"key":"note","version":"1.0","value":{"x-lix-key":"note","x-lix-version":"1.0","x-lix-primary-key":["id"],"type":"object","properties":{"id":{"type":"string"},"text":{"type":"string"}},"required":["id","text"],"additionalProperties":false}}', 2),
  ('note1', 'note', 'n', '{"id":"n","text":"ä \"quoted\" \\ ☃"}', 2),
  ('t-c2', 'lix_version_tip', 'main-id', '{"id":"main-id","commit_id":"c2"}', 2),
  ('c-c2', 'lix_commit', 'c2', '{"id":"c2","change_set_id":"set-c2","change_ids":["schema","note1"],"author_account_ids":["me"],"meta_change_ids":["t-c2"],"parent_commit_ids":["c1"]}', 2),

  ('d-set', 'lix_change_set', 'set-dw', '{"id":"set-dw","metadata":null}', 3),
  ('d-work', 'lix_commit', 'dw', '{"id":"dw","change_set_id":"set-dw","change_ids":[],"parent_commit_ids":[]}', 3),
  ('d-name', 'lix_version_descriptor', 'draft', '{"id":"draft","name":"Draft","working_commit_id":"dw","inherits_from_version_id":"global","hidden":false}', 3),
  ('d-tip', 'lix_version_tip', 'draft', '{"id":"draft","commit_id":"c2"}', 3),
  ('t-g1', 'lix_version_tip', 'global', '{"id":"global","commit_id":"g1"}', 3),
  ('c-g1', 'lix_commit', 'g1', '{"id":"g1","change_set_id":"set-g1","change_ids":["d-set","d-work","d-name","d-tip"],"author_account_ids":["me"],"meta_change_ids":["t-g1"],"parent_commit_ids":["g0"]}', 3),

  ('a2', 'lix_key_value', 'a', '{"key":"a","value":2}', 4),
  ('d1', 'lix_key_value', 'd', '{"key":"d","value":{"deep":[1,2.5,true,null,"\u0001"]}}', 4),
  ('gone2', 'lix_key_value', 'gone', null, 4),
  ('t-d1', 'lix_version_tip', 'draft', '{"id":"draft","commit_id":"d1"}', 4),
  ('c-d1', 'lix_commit', 'd1', '{"id":"d1","change_set_id":"set-d1","change_ids":["a2","d1","gone2"],"author_account_ids":["me"],"meta_change_ids":["t-d1"],"parent_commit_ids":["c2"]}', 4),

  -- The merge: no authors, no meta changes, a deletion of its own and its elements after it.
  ('c-m1', 'lix_commit', 'm1', '{"id":"m1","change_set_id":"set-m1","change_ids":["a2","d1","gone3","untracked"],"parent_commit_ids":["c2","d1"]}', 5),
  ('t-m1', 'lix_version_tip', 'main-id', '{"id":"main-id","commit_id":"m1"}', 5),
  ('gone3', 'lix_key_value', 'gone', null, 5),
  ('e-m1', 'lix_change_set_element', 'set-m1~a2', '{"change_set_id":"set-m1","change_id":"a2","entity_id":"a","schema_key":"lix_key_value","file_id":"lix"}', 5),

  -- The checkpoint: descriptor, tip and edge are in no commit.
  ('k-name', 'lix_version_descriptor', 'main-id', '{"id":"main-id","name":"main","working_commit_id":"mw2","inherits_from_version_id":"global","hidden":0}', 6),
  ('k-tip', 'lix_version_tip', 'main-id', '{"id":"main-id","commit_id":"mw"}', 6),
  ('k-edge', 'lix_commit_edge', 'm1~mw', '{"parent_id":"m1","child_id":"mw"}', 6),
  ('k-point', 'lix_commit', 'mw', '{"id":"mw","change_set_id":"set-mw","change_ids":[],"parent_commit_ids":["m1"]}', 6),
  ('k-set', 'lix_change_set', 'set-mw2', '{"id":"set-mw2","metadata":null}', 6),
  ('k-label', 'lix_entity_label', 'mw~lix_commit~lix~label-id', '{"entity_id":"mw","schema_key":"lix_commit","file_id":"lix","label_id":"label-id"}', 6),
  ('k-work', 'lix_commit', 'mw2', '{"id":"mw2","change_set_id":"set-mw2","change_ids":[],"parent_commit_ids":["mw"]}', 6),
  ('t-g2', 'lix_version_tip', 'global', '{"id":"global","commit_id":"g2"}', 6),
  ('c-g2', 'lix_commit', 'g2', '{"id":"g2","change_set_id":"set-g2","change_ids":["k-point","k-set","k-label","k-work"],"author_account_ids":["me"],"meta_change_ids":["t-g2"],"parent_commit_ids":["g1"]}', 6),

  ('b1', 'lix_key_value', 'b', '{"key":"b","value":1}', 7),
  ('t-c3', 'lix_version_tip', 'main-id', '{"id":"main-id","commit_id":"c3"}', 7),
  ('c-c3', 'lix_commit', 'c3', '{"id":"c3","change_set_id":"set-c3","change_ids":["b1"],"author_account_ids":["me"],"meta_change_ids":["t-c3"],"parent_commit_ids":["mw"]}', 7),

  ('g-1', 'lix_key_value', 'g', '{"key":"g","value":1}', 8),
  ('t-g3', 'lix_version_tip', 'global', '{"id":"global","commit_id":"g3"}', 8),
  ('c-g3', 'lix_commit', 'g3', '{"id":"g3","change_set_id":"set-g3","change_ids":["g-1"],"author_account_ids":["me"],"meta_change_ids":["t-g3"],"parent_commit_ids":["g2"]}', 8);

create temp table beside (schema_key, entity_id, version_id, content);
insert into beside values
  ('lix_active_version', 'active', 'global', '{"version_id":"main-id"}'),
  ('lix_account', 'me', 'global', '{"id":"me","name":"Anonymous"}'),
  ('lix_active_account', 'active_me', 'global', '{"account_id":"me"}'),
  ('lix_key_value', 'lix_state_cache_stale', 'global', '{"key":"lix_state_cache_stale","value":false}'),
  ('lix_key_value', 'lix_deterministic_sequence_number', 'global', '{"key":"lix_deterministic_sequence_number","value":41}'),
  ('lix_key_value', 'lix_deterministic_rng_state', 'global', '{"key":"lix_deterministic_rng_state","value":{"hi":"17446744073709551615","lo":"7"}}'),
  ('lix_key_value', 'lix_skip_file_handlers', 'main-id', '{"key":"lix_skip_file_handlers","value":true}'),
  ('lix_key_value', 'a', 'draft', '{"key":"a","value":"over it"}'),
  ('lix_key_value', 'g', 'draft', null),
  ('lix_change_set', 'mine', 'global', '{"id":"mine","metadata":{"by":"hand"}}'),
  ('lix_change_set_element', 'mine~a1', 'global', '{"change_set_id":"mine","change_id":"a1","entity_id":"a","schema_key":"lix_key_value","file_id":"lix"}'),
  -- Of the checkpoint, in another order than the changes.
  ('lix_change_set_element', 'set-mw~note1', 'global', '{"change_set_id":"set-mw","change_id":"note1","entity_id":"n","schema_key":"note","file_id":"lix"}'),
  ('lix_change_set_element', 'set-mw~schema', 'global', '{"change_set_id":"set-mw","change_id":"schema","entity_id":"note~1.0","schema_key":"lix_stored_schema","file_id":"lix"}'),
  ('lix_change_set_element', 'set-mw~a1', 'global', '{"change_set_id":"set-mw","change_id":"a1","entity_id":"a","schema_key":"lix_key_value","file_id":"lix"}'),
  -- Of the work since.
  ('lix_change_set_element', 'set-mw2~b1', 'global', '{"change_set_id":"set-mw2","change_id":"b1","entity_id":"b","schema_key":"lix_key_value","file_id":"lix"}'),
  ('lix_change_set_element', 'set-mw2~b0', 'global', null);
insert into internal_state_all_untracked
  select entity_id, schema_key, 'lix', version_id, 'lix_own_entity', jsonb(content), '1.0', '2025-09-01T00:00:09.000Z',
    '2025-09-01T00:00:09.000Z', null, content is null
  from beside;
insert into internal_state_cache_lix_key_value
  values ('ghost', 'lix_key_value', 'lix', 'main-id', 'lix_own_entity', jsonb('{"key":"ghost","value":1}'), '1.0',
    '2025-09-01T00:00:09.000Z', '2025-09-01T00:00:09.000Z', null, 0, 'no-change', 'c3');
insert into internal_transaction_state
  values ('staged', 'staged', 'lix_key_value', '1.0', 'lix', 'lix_own_entity', 'main-id',
    jsonb('{"key":"staged","value":1}'), '2025-09-01T00:00:09.000Z', 0);
drop table log;
drop table beside;

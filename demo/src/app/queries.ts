// Everything the page asks of a lix. Plain queries of Kysely where there is a table for it, SQL where
// history and differences are joined.
import { type Lix, sql } from "lix-engine/lix"
import { DESCRIPTOR, type EntityChange, type Snapshot, type Status } from "./describe.ts"

export interface FileRow {
  readonly id: string
  readonly path: string
  readonly lixcol_updated_at: string
  readonly lixcol_change_id: string
}

export const files = ({ db }: Lix) => db.selectFrom("file").select(["id", "path", "lixcol_updated_at", "lixcol_change_id"]).where("hidden", "=", 0).orderBy("path")

export const fileContent = ({ db }: Lix, id: string) => db.selectFrom("file").select(["path", "data"]).where("id", "=", id)

export const versions = ({ db }: Lix) =>
  db
    .selectFrom("version")
    .leftJoin("active_version", "active_version.version_id", "version.id")
    .select(["version.id", "version.name", "active_version.version_id as active"])
    .where("version.hidden", "=", 0)
    .orderBy("version.lixcol_created_at")
    .orderBy("version.name")

export const accounts = ({ db }: Lix) =>
  db
    .selectFrom("account")
    .leftJoin("active_account", "active_account.account_id", "account.id")
    .select(["account.id", "account.name", "active_account.account_id as active"])
    .orderBy("account.name")

// ── History of a file ──────────────────────────────────────────────────────

/** A commit of the active version that changed a file. */
export interface Step {
  readonly commit: string
  /** The commit before it; null at the beginning. */
  readonly parent: string | null
  readonly at: string
  readonly authors: string[]
  /** How many entities of the file it changed. */
  readonly entities: number
  readonly isMerge: boolean
  /** A checkpoint was made here. */
  readonly isCheckpoint: boolean
}

interface LineRow {
  commit_id: string
  parent_id: string | null
  at: string
  author_account_ids: unknown
  parents: number
  entities: number
  is_checkpoint: number
}

/** The version's own line of commits, newest first: what the version showed, one commit after the other. */
export const lineOf = (fileId: string) => sql<LineRow>`
  with recursive line(commit_id, place) as (
    select commit_id, 0 from version where id = (select version_id from active_version)
    union all
    select json_extract(c.parent_commit_ids, '$[0]'), place + 1
    from line join "commit" c on c.id = line.commit_id
    where json_array_length(c.parent_commit_ids) > 0 and place < ${MAX_STEPS}
  )
  select line.commit_id, json_extract(c.parent_commit_ids, '$[0]') as parent_id, c.lixcol_updated_at as at,
    c.author_account_ids, json_array_length(c.parent_commit_ids) as parents,
    (select count(*) from change_set_element e where e.change_set_id = c.change_set_id and e.file_id = ${fileId}) as entities,
    exists (select 1 from entity_label el join label l on l.id = el.label_id where el.entity_id = line.commit_id and l.name = 'checkpoint') as is_checkpoint
  from line join "commit" c on c.id = line.commit_id
  order by line.place`

/** Newest first. A checkpoint repeats the changes of the commits before it, so it marks the step it follows. */
export function stepsOf(line: readonly LineRow[]): Step[] {
  const steps: Step[] = []
  let isCheckpoint = false
  for (const row of line) {
    if (row.is_checkpoint) isCheckpoint = true
    else if (row.entities > 0) {
      steps.push({ commit: row.commit_id, parent: row.parent_id, at: row.at, authors: list(row.author_account_ids), entities: row.entities, isMerge: row.parents > 1, isCheckpoint })
      isCheckpoint = false
    }
  }
  return steps
}

export interface PastFile {
  readonly path: string
  readonly data: Uint8Array
}

/** The file as a commit shows it; undefined if it was not there. */
export async function fileAt({ db }: Lix, id: string, commit: string | null): Promise<PastFile | undefined> {
  if (commit === null) return undefined
  return db.selectFrom("file_history").select(["path", "data"]).where("id", "=", id).where("lixcol_root_commit_id", "=", commit).orderBy("lixcol_depth").limit(1).executeTakeFirst()
}

/** What a step did to the file: the first entities that have something to tell. */
export async function entitiesOfStep({ db }: Lix, fileId: string, step: Step): Promise<EntityChange[]> {
  const { rows } = await sql<SnapshotRow>`
    with before as (
      select entity_id, schema_key, snapshot_content, min(depth)
      from state_history where root_commit_id = ${step.parent} and file_id = ${fileId} group by entity_id, schema_key
    )
    select * from (
      select e.entity_id, e.schema_key, e.file_id, b.snapshot_content as before, a.snapshot_content as after
      from "commit" c
      join change_set_element e on e.change_set_id = c.change_set_id and e.file_id = ${fileId}
      join change a on a.id = e.change_id
      left join before b on b.entity_id = e.entity_id and b.schema_key = e.schema_key
      where c.id = ${step.commit}
    ) where ${TELLS} order by ${PLACE} limit ${MAX_TOLD}`.execute(db)
  return rows.map(changeOf)
}

// ── Differences ────────────────────────────────────────────────────────────

/** What happened to a file, and the first entities of it. */
export interface FileChange {
  readonly fileId: string
  readonly path: string
  readonly entities: EntityChange[]
  readonly counts: Counts
}

export type Counts = Readonly<Record<Status, number>>

export interface SnapshotRow {
  entity_id: string
  schema_key: string
  file_id: string
  before: unknown
  after: unknown
}

export interface DiffRow extends SnapshotRow, Counts {}

/** What happened since the last checkpoint: of each file the first entities, and how many there are. */
export const workingDiff = () => sql<DiffRow>`
  select * from (
    select *, row_number() over (partition by file_id order by ${PLACE}) as place,
      sum(tells and before is null) over whole as added,
      sum(tells and before is not null and after is not null) over whole as modified,
      sum(tells and after is null) over whole as removed
    from (
      select *, ${TELLS} as tells from (
        select d.entity_id, d.schema_key, d.file_id, b.snapshot_content as before, a.snapshot_content as after
        from lix_working_diff() d
        left join change b on b.id = d.before_change_id
        left join change a on a.id = d.after_change_id
        where d.status <> 'unchanged' and d.file_id <> 'lix'
      )
    )
    window whole as (partition by file_id)
  ) where place <= ${MAX_TOLD}`

/** A row of what a merge would do. */
export interface MergeChange extends EntityChange {
  readonly fileId: string
  readonly path: string
  /** The change that the target shows now. */
  readonly beforeChangeId: string | null
  /**
   * `take`: only the source changed it. `both`: both did, and the source's stays. `back`: only the target did, and a
   * full merge takes that back.
   */
  readonly side: "take" | "both" | "back"
}

interface MergeRow extends SnapshotRow {
  before_change_id: string | null
  theirs: number
  ours: number
  path: string | null
}

/** What a merge of `source` into `target` would change. The engine lets the source win; this says where that matters. */
export async function mergePreview({ db }: Lix, source: string, target: string): Promise<MergeChange[]> {
  const { rows } = await sql<MergeRow>`
    with tips as (select (select commit_id from version where id = ${source}) as there, (select commit_id from version where id = ${target}) as here),
      there as materialized (select id from tips, lix_commit_ancestors(json_object('id', tips.there, 'include_self', json('true')))),
      here as materialized (select id from tips, lix_commit_ancestors(json_object('id', tips.here, 'include_self', json('true'))))
    select d.entity_id, d.schema_key, d.file_id, d.before_change_id, b.snapshot_content as before, a.snapshot_content as after,
      d.after_commit_id not in (select id from here) as theirs,
      d.before_commit_id is not null and d.before_commit_id not in (select id from there) as ours,
      coalesce((select path from file_all f where f.id = d.file_id and f.lixcol_version_id = ${source}),
               (select path from file_all f where f.id = d.file_id and f.lixcol_version_id = ${target})) as path
    from lix_version_diff(json_object('source', ${source}, 'target', ${target})) d
    left join change b on b.id = d.before_change_id
    left join change a on a.id = d.after_change_id
    where d.status <> 'unchanged' and d.file_id <> 'lix'`.execute(db)
  return rows.map((row) => ({
    ...changeOf(row),
    fileId: row.file_id,
    path: row.path ?? row.file_id,
    beforeChangeId: row.before_change_id,
    side: !row.theirs ? "back" : row.ours ? "both" : "take",
  }))
}

/** Rows of a difference by file, in order of the paths. */
export function byFile(rows: readonly DiffRow[], pathOf: (fileId: string) => string | undefined): FileChange[] {
  const found = new Map<string, DiffRow[]>()
  for (const row of rows) found.set(row.file_id, [...(found.get(row.file_id) ?? []), row])
  return [...found]
    .map(([fileId, [first, ...rest]]) => {
      const entities = [first!, ...rest].map(changeOf)
      const descriptor = entities.find(({ schemaKey }) => schemaKey === DESCRIPTOR)
      const path = pathOf(fileId) ?? String((descriptor?.after ?? descriptor?.before)?.["path"] ?? fileId)
      const { added, modified, removed } = first!
      return { fileId, path, entities, counts: { added, modified, removed } }
    })
    .sort((a, b) => (a.path < b.path ? -1 : 1))
}

// ── Who changed what ───────────────────────────────────────────────────────

export interface Deed {
  readonly commit: string
  readonly at: string
  readonly authors: string[]
  readonly what: "edit" | "merge" | "checkpoint"
  readonly files: DeedFile[]
}

export interface DeedFile {
  readonly fileId: string
  /** Whether the active version has it. */
  readonly isHere: boolean
  /** Where it is, or was last. */
  readonly path: string
  readonly entities: number
  /** All that happened was deleting. */
  readonly gone: boolean
}

interface DeedRow {
  commit_id: string
  at: string
  author_account_ids: unknown
  parents: number
  is_checkpoint: number
  file_id: string
  path: string | null
  last_path: string
  entities: number
  gone: number
}

/** The newest commits of all versions that touched files; what the next checkpoint collects is no commit yet. */
export const deeds = () => sql<DeedRow>`
  select c.id as commit_id, c.lixcol_updated_at as at, c.author_account_ids, json_array_length(c.parent_commit_ids) as parents,
    exists (select 1 from entity_label el join label l on l.id = el.label_id where el.entity_id = c.id and l.name = 'checkpoint') as is_checkpoint,
    e.file_id, count(*) as entities, sum(ch.snapshot_content is null) as gone,
    (select path from file f where f.id = e.file_id) as path,
    (select snapshot_content ->> 'path' from change d where d.schema_key = 'lix_file_descriptor' and d.entity_id = e.file_id and d.snapshot_content is not null
     order by d.created_at desc limit 1) as last_path
  from (
    select * from "commit" where id not in (select working_commit_id from version where working_commit_id is not null)
    order by lixcol_updated_at desc limit ${MAX_DEEDS}
  ) c
  join change_set_element e on e.change_set_id = c.change_set_id
  join change ch on ch.id = e.change_id
  where e.file_id <> 'lix'
  group by c.id, e.file_id
  order by at desc, path`

export function deedsOf(rows: readonly DeedRow[]): Deed[] {
  const deeds = new Map<string, Deed>()
  for (const row of rows) {
    const deed: Deed = deeds.get(row.commit_id) ?? { commit: row.commit_id, at: row.at, authors: list(row.author_account_ids), what: row.is_checkpoint ? "checkpoint" : row.parents > 1 ? "merge" : "edit", files: [] }
    deed.files.push({ fileId: row.file_id, isHere: row.path !== null, path: row.path ?? row.last_path, entities: row.entities, gone: row.gone === row.entities })
    deeds.set(row.commit_id, deed)
  }
  return [...deeds.values()]
}

function changeOf(row: SnapshotRow): EntityChange {
  return { entityId: row.entity_id, schemaKey: row.schema_key, before: snapshot(row.before), after: snapshot(row.after) }
}

/** JSON in a column comes parsed where SQLite knows the column, and as text from a subquery that computes. */
function snapshot(value: unknown): Snapshot | null {
  return (typeof value === "string" ? JSON.parse(value) : value) as Snapshot | null
}

function list(value: unknown): string[] {
  return ((typeof value === "string" ? JSON.parse(value) : value) ?? []) as string[]
}

/** Whether `before` and `after` have something to tell: how a file is written, and that an object is there, say nothing. */
const TELLS = sql`(schema_key not like '%\\_document' escape '\\' and coalesce(after ->> 'container', before ->> 'container') is null)`
/** The descriptor first, then as in the file. */
const PLACE = sql`schema_key <> 'lix_file_descriptor', coalesce(after ->> 'order', before ->> 'order')`
const MAX_TOLD = 40
const MAX_STEPS = 400
const MAX_DEEDS = 60

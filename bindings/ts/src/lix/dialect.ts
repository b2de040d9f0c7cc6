/**
 * Kysely on a lix, with JSON columns as values: what is written is encoded, and a query that selects a column
 * which may hold strings as well selects the types, too.
 *
 * What is absent: nothing is rewritten inside subqueries, unions and raw SQL. There a string that is itself the
 * JSON of an object or array comes out as that, and true and false as 1 and 0.
 */

import {
  AliasNode, ColumnNode, ColumnUpdateNode, IdentifierNode, PrimitiveValueListNode, ReferenceNode, SelectionNode, SelectQueryNode, SqliteQueryCompiler, TableNode, ValueListNode,
  ValueNode, ValuesNode, type CompiledQuery, type InsertQueryNode, type OperationNode, type QueryCompiler, type QueryId, type RootOperationNode, type UpdateQueryNode,
} from "kysely"
import { EngineError } from "../errors.js"
import { LixDialect, type LixDialectEngine } from "../kysely/dialect.js"
import { typesOf } from "../kysely/json.js"
import { JSON_COLUMNS, LIX_TABLES, type JsonKind } from "./tables.js"

/** For `Kysely<LixDatabaseSchema>`. */
export class LixDatabaseDialect extends LixDialect {
  constructor(engine: LixDialectEngine) {
    super({ engine, parseJson: true })
  }

  override createQueryCompiler(): QueryCompiler {
    return new LixQueryCompiler()
  }
}

/** Where a query is known to be a whole one: plugins of Kysely's are called for subqueries as well. */
class LixQueryCompiler extends SqliteQueryCompiler {
  override compileQuery<Row = unknown>(node: RootOperationNode, queryId: QueryId): CompiledQuery<Row> {
    return super.compileQuery(whole(node), queryId) as CompiledQuery<Row>
  }
}

function whole(node: RootOperationNode): RootOperationNode {
  switch (node.kind) {
    case "InsertQueryNode":
      return insert(node)
    case "UpdateQueryNode":
      return update(node)
    case "SelectQueryNode":
      return select(node)
    default:
      return node
  }
}

function insert(node: InsertQueryNode): InsertQueryNode {
  const table = tableOf(node.into)
  if (table === undefined) return node
  if (node.returning && LIX_TABLES.has(table)) {
    const message = `Cannot use returning() or returningAll() with INSERT operations on view '${table}': what the engine fills in would be missing. Give the id, or select the row.`
    throw new EngineError("INVALID", "OPTION_INVALID", message, { subject: "returning" })
  }
  const kindOf = kindsOf(table)
  if (!kindOf || !node.values || !ValuesNode.is(node.values)) return node
  const kinds = (node.columns ?? []).map(({ column }) => kindOf(column.name))
  const values = ValuesNode.create(
    node.values.values.map((row) =>
      PrimitiveValueListNode.is(row)
        ? PrimitiveValueListNode.create(row.values.map((value, at) => encoded(kinds[at], value)))
        : ValueListNode.create((row as ValueListNode).values.map((value, at) => encodedNode(kinds[at], value))),
    ),
  )
  return { ...node, values }
}

function update(node: UpdateQueryNode): UpdateQueryNode {
  const table = node.table && tableOf(AliasNode.is(node.table) ? node.table.node : node.table)
  const kindOf = table === undefined ? undefined : kindsOf(table)
  if (!kindOf || !node.updates) return node
  const updates = node.updates.map((assignment) => {
    const column = columnOf(assignment.column)
    const kind = column === undefined ? undefined : kindOf(column)
    return kind === undefined ? assignment : ColumnUpdateNode.create(assignment.column, encodedNode(kind, assignment.value))
  })
  return { ...node, updates }
}

/** What is encoded, and for which columns. In other tables, those of stored schemas among them, whatever SQLite could not hold. */
type Encoding = JsonKind | "nested"

/** By column; undefined if a table has no JSON. */
function kindsOf(table: string): ((column: string) => Encoding | undefined) | undefined {
  const json = JSON_COLUMNS[table]
  if (json) return (column) => json[column]
  return LIX_TABLES.has(table) ? undefined : () => "nested"
}

/** A value node's value; expressions are the caller's business. */
function encodedNode(kind: Encoding | undefined, node: OperationNode): OperationNode {
  return kind !== undefined && ValueNode.is(node) ? ValueNode.create(encoded(kind, node.value)) : node
}

function encoded(kind: Encoding | undefined, value: unknown): unknown {
  if (kind === "nested" && !isPlainOrArray(value)) return value
  if (kind === undefined || value === null || value === undefined || ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return value
  if (kind === "text" && typeof value === "string") return value
  if (typeof value === "bigint") return String(value)
  let text: string | undefined
  try {
    text = JSON.stringify(value)
  } catch (cause) {
    throw new EngineError("INVALID", "PARAM_INVALID", `a value cannot be written as JSON: ${(cause as Error).message}`, { cause })
  }
  if (text === undefined) throw new EngineError("INVALID", "PARAM_INVALID", `a ${typeof value} is no JSON`)
  return text
}

function isPlainOrArray(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false
  return Array.isArray(value) || [Object.prototype, null].includes(Object.getPrototypeOf(value) as null)
}

/** A table that a query reads by a name. */
interface Source {
  readonly name: string
  readonly json: { readonly [column: string]: JsonKind } | undefined
}

function select(node: SelectQueryNode): SelectQueryNode {
  // Every branch of a union has to have the same columns.
  if (!node.selections || node.setOperations) return node
  const sources = sourcesOf(node)
  const types: SelectionNode[] = []
  const add = (name: string, letters: OperationNode, place: number) => {
    types.push(SelectionNode.create(AliasNode.create(letters, IdentifierNode.create(typesOf(name, place)))))
  }
  const addAll = (chosen: readonly Source[]) => {
    for (const source of chosen) {
      for (const [column, kind] of Object.entries(source.json ?? {})) {
        if (typeof kind === "number") add(column, lettersOf(source), kind)
      }
    }
  }
  for (const { selection } of node.selections) {
    const [value, alias] = AliasNode.is(selection) ? [selection.node, IdentifierNode.is(selection.alias) ? selection.alias.name : undefined] : [selection, undefined]
    if (value.kind === "SelectAllNode") addAll(sources)
    else if (ReferenceNode.is(value)) {
      const table = value.table?.table.identifier.name
      const chosen = table === undefined ? sources : sources.filter(({ name }) => name === table)
      if (!ColumnNode.is(value.column)) {
        addAll(chosen)
        continue
      }
      const column = value.column.column.name
      const source = chosen.find(({ json }) => json?.[column] !== undefined)
      const kind = source?.json?.[column]
      if (source && typeof kind === "number") add(alias ?? column, lettersOf(source), kind)
    } else if (value.kind === "RawNode" && alias !== undefined && isJson(value as unknown as { sqlFragments: readonly string[] })) {
      add(alias, ValueNode.createImmediate("j"), 0)
    }
  }
  return types.length === 0 ? node : { ...node, selections: [...node.selections, ...types] }
}

/** What Kysely's helpers for JSON make: an expression, whose column has no declared type. */
function isJson({ sqlFragments }: { sqlFragments: readonly string[] }): boolean {
  return /^(\(select )?(coalesce\()?json_(group_array|group_object|object|array)\(/.test(sqlFragments[0] ?? "")
}

function lettersOf({ name }: Source): ReferenceNode {
  return ReferenceNode.create(ColumnNode.create("_types"), TableNode.create(name))
}

/** The tables after FROM and JOIN. What WITH defines hides a table of that name. */
function sourcesOf(node: SelectQueryNode): Source[] {
  const hidden = new Set(node.with?.expressions.map(({ name }) => name.table.table.identifier.name))
  return [...(node.from?.froms ?? []), ...(node.joins ?? []).map(({ table }) => table)].map((from) => {
    const [source, alias] = AliasNode.is(from) ? [from.node, IdentifierNode.is(from.alias) ? from.alias.name : ""] : [from, undefined]
    const table = tableOf(source)
    return { name: alias ?? table ?? "", json: table === undefined || hidden.has(table) ? undefined : JSON_COLUMNS[table] }
  })
}

/** The name of a table of the lix, which belongs to no schema of SQLite's. */
function tableOf(node: OperationNode | undefined): string | undefined {
  if (!node || !TableNode.is(node) || node.table.schema) return undefined
  return node.table.identifier.name
}

function columnOf(node: OperationNode): string | undefined {
  if (ColumnNode.is(node)) return node.column.name
  if (ReferenceNode.is(node) && ColumnNode.is(node.column)) return node.column.column.name
  return undefined
}

// SQL as the eye reads it: enough of a tokeniser to colour text, no parser.

export type TokenKind = "keyword" | "string" | "number" | "comment" | "name" | "parameter" | "other"

export interface Token {
  readonly kind: TokenKind
  readonly start: number
  readonly end: number
}

export function tokenize(sql: string): Token[] {
  const tokens: Token[] = []
  TOKEN.lastIndex = 0
  for (let match = TOKEN.exec(sql); match; match = TOKEN.exec(sql)) {
    const text = match[0]
    const groups = match.groups!
    let kind: TokenKind = "other"
    if (groups["comment"] !== undefined) kind = "comment"
    else if (groups["string"] !== undefined) kind = "string"
    else if (groups["quoted"] !== undefined) kind = "name"
    else if (groups["number"] !== undefined) kind = "number"
    else if (groups["parameter"] !== undefined) kind = "parameter"
    else if (groups["word"] !== undefined) kind = KEYWORDS.has(text.toUpperCase()) ? "keyword" : "name"
    tokens.push({ kind, start: match.index, end: match.index + text.length })
  }
  return tokens
}

/** The token that covers `offset`, or the last one before it: what an error points at. */
export function tokenAt(sql: string, offset: number): { start: number; end: number } {
  const tokens = tokenize(sql)
  const hit = tokens.find((token) => token.start <= offset && offset < token.end) ?? tokens.at(-1)
  return hit ?? { start: 0, end: sql.length }
}

/** Where a UTF-8 byte offset falls in a JavaScript string. */
export function utf16Offset(text: string, byteOffset: number): number {
  let bytes = 0
  let index = 0
  for (const character of text) {
    if (bytes >= byteOffset) break
    const code = character.codePointAt(0)!
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x1_0000 ? 3 : 4
    index += character.length
  }
  return index
}

export function quoteName(name: string): string {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !KEYWORDS.has(name.toUpperCase()) ? name : `"${name.replaceAll('"', '""')}"`
}

const TOKEN = new RegExp(
  [
    String.raw`(?<comment>--[^\n]*|/\*[\s\S]*?(?:\*/|$))`,
    String.raw`(?<string>[xX]?'(?:[^']|'')*(?:'|$))`,
    String.raw`(?<quoted>"(?:[^"]|"")*(?:"|$)|\[[^\]]*\]|${"`"}(?:[^${"`"}])*${"`"})`,
    String.raw`(?<number>\b(?:0[xX][0-9a-fA-F]+|\d[\d_]*(?:\.\d*)?(?:[eE][+-]?\d+)?))`,
    String.raw`(?<parameter>\?\d*|[:@$][A-Za-z_]\w*)`,
    String.raw`(?<word>[A-Za-z_\u0080-\uffff][\w\u0080-\uffff$]*)`,
    String.raw`[^\s\w]`,
  ].join("|"),
  "g",
)

const KEYWORDS = new Set(
  `ABORT ACTION ADD AFTER ALL ALTER ANALYZE AND AS ASC ATTACH AUTOINCREMENT BEFORE BEGIN BETWEEN BY CASCADE CASE CAST CHECK
   COLLATE COLUMN COMMIT CONFLICT CONSTRAINT CREATE CROSS CURRENT DEFAULT DEFERRABLE DEFERRED DELETE DESC DETACH DISTINCT DO
   DROP EACH ELSE END ESCAPE EXCEPT EXCLUDE EXCLUSIVE EXISTS EXPLAIN FAIL FILTER FIRST FOLLOWING FOR FOREIGN FROM FULL
   GENERATED GLOB GROUP GROUPS HAVING IF IGNORE IMMEDIATE IN INDEX INDEXED INITIALLY INNER INSERT INSTEAD INTERSECT INTO IS
   ISNULL JOIN KEY LAST LEFT LIKE LIMIT MATCH MATERIALIZED NATURAL NO NOT NOTHING NOTNULL NULL NULLS OF OFFSET ON OR ORDER
   OTHERS OUTER OVER PARTITION PLAN PRAGMA PRECEDING PRIMARY QUERY RAISE RANGE RECURSIVE REFERENCES REGEXP REINDEX RELEASE
   RENAME REPLACE RESTRICT RETURNING RIGHT ROLLBACK ROW ROWS SAVEPOINT SELECT SET TABLE TEMP TEMPORARY THEN TIES TO
   TRANSACTION TRIGGER UNBOUNDED UNION UNIQUE UPDATE USING VACUUM VALUES VIEW VIRTUAL WHEN WHERE WINDOW WITH WITHOUT`
    .split(/\s+/)
    .filter(Boolean),
)

/**
 * What is asked of the Markdown plugin that npm has for the original (`@lix-js/plugin-md` 0.2.1), in
 * whichever engine: text in, text out, and blocks that stay who they are.
 */

import type { LixEngine } from "../../src/index.js"

export interface Story {
  /** What the file says after each step. */
  texts: string[]
  /** The ids of the blocks after each step, in their order. */
  orders: string[][]
  /** The changes that each step left in the log, deletions with a minus. */
  changes: string[][]
}

export const STEPS = [
  "# Title\n\nFirst paragraph, about one thing.\n\nSecond paragraph, about another.\n\n- a\n- b\n",
  "# Title\n\nFirst paragraph, about one thing only.\n\nSecond paragraph, about another.\n\n- a\n- b\n",
  "# Title\n\nSecond paragraph, about another.\n\nFirst paragraph, about one thing only.\n\n- a\n- b\n",
  "# Title\n\nSecond paragraph, about another.\n\nInserted between them.\n\nFirst paragraph, about one thing only.\n",
]

export async function tell(engine: LixEngine): Promise<Story> {
  const story: Story = { texts: [], orders: [], changes: [] }
  let seen = 0
  for (const [index, text] of STEPS.entries()) {
    const sql = index === 0 ? "insert into file (data, id, path) values (?, 'notes', '/notes.md')" : "update file set data = ? where id = 'notes'"
    await engine.exec(sql, [new TextEncoder().encode(text)])
    story.texts.push(await content(engine))
    const state = await engine.exec<{ snapshot_content: string }>("select snapshot_content from state where file_id = 'notes' and schema_key = 'markdown_wc_document'")
    story.orders.push((JSON.parse(state.rows[0]!.snapshot_content) as { order: string[] }).order)
    const log = await engine.exec<{ entity_id: string; is_gone: number }>(
      "select entity_id, snapshot_content is null as is_gone from change where file_id = 'notes' and plugin_key = 'plugin_md'",
    )
    story.changes.push(log.rows.slice(seen).map(({ entity_id, is_gone }) => (is_gone ? "-" : "") + entity_id))
    seen = log.rows.length
  }
  return story
}

export async function content(engine: LixEngine): Promise<string> {
  const { rows } = await engine.exec<{ data: Uint8Array }>("select data from file where id = 'notes'")
  return new TextDecoder().decode(rows[0]!.data)
}

/** The blocks of a story by what they are; throws if an edit or a move made new ones. */
export function judge({ texts, orders, changes }: Story): void {
  const same = (what: string, found: unknown, expected: unknown): void => {
    if (JSON.stringify(found) !== JSON.stringify(expected)) throw new Error(`${what}: ${JSON.stringify(found)}, not ${JSON.stringify(expected)}`)
  }
  same("what is read is what was written", texts.map((text) => text.trim()), STEPS.map((text) => text.trim()))
  const [title, first, second, list] = orders[0] as [string, string, string, string]
  same("an edited block is the same block", orders[1], [title, first, second, list])
  same("a moved block is the same block", orders[2], [title, second, first, list])
  const inserted = orders[3]?.[2] as string
  same("one new, one gone", orders[3], [title, second, inserted, first])
  same("four blocks and their order", changes[0]?.toSorted(), [title, first, second, list, "root"].toSorted())
  same("an edit is one change", changes[1], [first])
  same("a move is one of the order", changes[2], ["root"])
  same("a new block, one that is gone, their order", changes[3]?.toSorted(), [inserted, `-${list}`, "root"].toSorted())
}

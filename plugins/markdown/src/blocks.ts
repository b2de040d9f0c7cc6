/** A Markdown text cut into its top-level blocks: CommonMark, tables, footnotes, front matter. */

import { fromMarkdown } from "mdast-util-from-markdown"
import { frontmatterFromMarkdown } from "mdast-util-frontmatter"
import { gfmFootnoteFromMarkdown } from "mdast-util-gfm-footnote"
import { gfmTableFromMarkdown } from "mdast-util-gfm-table"
import { frontmatter } from "micromark-extension-frontmatter"
import { gfmFootnote } from "micromark-extension-gfm-footnote"
import { gfmTable } from "micromark-extension-gfm-table"

export interface Block {
  /** As mdast calls it. */
  type: string
  /** What stands between it and the block before. */
  before: string
  text: string
}

/** All of the text, in order: what no block has is before a block or at the end. */
export function blocksOf(text: string): { blocks: Block[]; end: string } {
  const blocks: Block[] = []
  let at = 0
  for (const { type, position } of topLevel(text)) {
    const [from, to] = [position?.start.offset ?? at, position?.end.offset ?? at]
    if (from < at || to <= from) continue
    blocks.push({ type, before: text.slice(at, from), text: text.slice(from, to) })
    at = to
  }
  return { blocks, end: text.slice(at) }
}

type Placed = Pick<ReturnType<typeof fromMarkdown>["children"][number], "type" | "position">

function topLevel(text: string): Placed[] {
  return fromMarkdown(text, {
    extensions: [gfmTable(), gfmFootnote(), frontmatter(["yaml", "toml"]), { disable: { null: INLINE } }],
    mdastExtensions: [
      gfmTableFromMarkdown(),
      gfmFootnoteFromMarkdown(),
      frontmatterFromMarkdown(["yaml", "toml"]),
    ],
  }).children
}

/** Where blocks begin and end does not depend on what is in their lines. */
const INLINE = [
  "attention",
  "autolink",
  "characterEscape",
  "characterReference",
  "codeText",
  "hardBreakEscape",
  "htmlText",
  "labelEnd",
  "labelStartImage",
  "labelStartLink",
]

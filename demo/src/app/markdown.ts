// Markdown to HTML. Whatever is in the file, the page shows only what Markdown can say: HTML in it is
// shown as text, and links go nowhere dangerous.
import { micromark } from "micromark"
import { gfm, gfmHtml } from "micromark-extension-gfm"

export function render(text: string): string {
  return micromark(text, { extensions: [gfm()], htmlExtensions: [gfmHtml()] })
}

/**
 * `openLix` in a real Chromium: the checks of pages/lix.ts, on a host without COOP and COEP.
 *
 *   node test/browser/lix.mjs [--dist directory] [part of a name …]      CHROMIUM=path picks the browser
 */

import assert from "node:assert/strict"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { bounded, Checks, launchWithProfile, serve, watchedPage } from "./harness.mjs"
import { bundleWhole } from "./site.mjs"

async function main() {
  const { values, positionals: wanted } = parseArgs({ options: { dist: { type: "string" } }, allowPositionals: true })
  const dist = values.dist ? resolve(values.dist) : join(here, "../../dist")
  assert.ok(existsSync(join(dist, "lix/index.js")), "the package is not built: npm run build -w lix-engine")
  const suite = new Checks()
  const cleanups = []
  try {
    const site = await serve({ "/package/lix-page.js": await bundleWhole("lix.ts", dist, cleanups), "/package/": dist, "/pages/": join(here, "pages") })
    cleanups.unshift(site.close)
    const profile = mkdtempSync(join(tmpdir(), "lix-engine-profile-"))
    cleanups.push(() => rmSync(profile, { recursive: true, force: true, maxRetries: 5 }))
    const context = await launchWithProfile(profile)
    cleanups.unshift(() => context.close())
    const names = await onPage(context, site, (page) => page.evaluate(() => Object.keys(globalThis.checks)))
    assert.ok(names.length >= 9, names.join("\n"))
    for (const name of names.filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))) {
      await suite.check(name, () => onPage(context, site, (page) => bounded(page.evaluate((name) => globalThis.checks[name](), name), CHECK_MS, name)))
    }
  } finally {
    for (const cleanup of cleanups) await cleanup()
  }
  suite.finish()
}

async function onPage(context, { origin }, run) {
  const seen = await watchedPage(context)
  try {
    await seen.page.goto(`${origin}/pages/lix.html`)
    const result = await run(seen.page)
    assert.deepEqual(seen.problems, [], "unexpected on the console")
    return result
  } finally {
    await seen.page.close()
  }
}

const here = dirname(fileURLToPath(import.meta.url))
const CHECK_MS = 60_000

await main()

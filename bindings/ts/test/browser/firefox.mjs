/**
 * The checks of pages/opfs.ts in a real Firefox, headless, with a profile of its own. The page runs
 * them by itself and reports to the server it came from.
 *
 *   node test/browser/firefox.mjs [--dist directory] [part of a name …]      FIREFOX=path picks the browser
 */

import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { Checks, serve } from "./harness.mjs"
import { bundle, variant, variants } from "./site.mjs"

async function main() {
  const { values, positionals: wanted } = parseArgs({ options: { dist: { type: "string" } }, allowPositionals: true })
  const dist = values.dist ? resolve(values.dist) : join(here, "../../dist")
  assert.ok(existsSync(join(dist, "worker.js")), "the package is not built: npm run build -w lix-engine")
  const suite = new Checks()
  const cleanups = []
  try {
    const reports = new Reports()
    const site = await serve({ "/pages/opfs.js": join(await bundle("opfs.ts", cleanups), "opfs.js"), "/pages/": join(here, "pages"), "/package/": dist, ...variants(dist) }, (...request) => reports.answer(...request) || variant(dist, ...request))
    cleanups.unshift(site.close)
    const only = wanted.map((part) => `&only=${encodeURIComponent(part)}`).join("")
    const firefox = start(`${site.origin}/pages/opfs.html?report=/report${only}`, cleanups)
    firefox.once("exit", () => reports.take({ failed: "Firefox ended" }))
    let count = 0
    for (;;) {
      const { name, ms, note, error, done, failed } = await reports.next()
      if (failed) throw new Error(failed)
      if (done !== undefined) {
        assert.ok(count === done && (done > 20 || wanted.length > 0), `${count} of ${done} checks reported`)
        break
      }
      count++
      await suite.check(name, async () => {
        if (error) throw new Error(error)
        return [`in Firefox ${ms} ms`, note].filter(Boolean).join("; ")
      })
    }
  } finally {
    for (const cleanup of cleanups) await cleanup()
  }
  suite.finish()
}

/** What the page posts, one after the other; its silence has an end. */
class Reports {
  #arrived = []
  #wake = () => {}

  answer = (path, response, request) => {
    if (path !== "/report") return false
    let body = ""
    request.on("data", (chunk) => (body += chunk))
    request.on("end", () => {
      response.writeHead(204).end()
      this.take(JSON.parse(body))
    })
    return true
  }

  take(report) {
    this.#arrived.push(report)
    this.#wake()
  }

  async next() {
    const timer = setTimeout(() => this.take({ failed: `Firefox said nothing for ${SILENCE_MS} ms` }), SILENCE_MS)
    while (this.#arrived.length === 0) await new Promise((resolve) => (this.#wake = resolve))
    clearTimeout(timer)
    return this.#arrived.shift()
  }
}

function start(url, cleanups) {
  const profile = mkdtempSync(join(tmpdir(), "lix-engine-firefox-"))
  writeFileSync(join(profile, "user.js"), Object.entries(PREFERENCES).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`).join(""))
  const firefox = spawn(binary(), ["--headless", "--no-remote", "--profile", profile, url], {
    stdio: "ignore",
    env: { ...process.env, HOME: profile, MOZ_CRASHREPORTER_DISABLE: "1" },
  })
  const gone = new Promise((resolve) => firefox.once("exit", resolve))
  cleanups.unshift(async () => {
    if (firefox.exitCode === null) firefox.kill("SIGKILL")
    await gone
    rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
  })
  return firefox
}

function binary() {
  const names = ["firefox", "firefox-esr"]
  const found = process.env.FIREFOX ?? (process.env.PATH ?? "").split(delimiter).flatMap((directory) => names.map((name) => join(directory, name))).find(existsSync)
  assert.ok(found, "no Firefox; cargo xtask setup installs one, FIREFOX=path names one")
  return found
}

/** Talks to nobody but the test's server, and asks nothing. */
const PREFERENCES = {
  "app.update.enabled": false,
  "browser.shell.checkDefaultBrowser": false,
  "browser.startup.homepage_override.mstone": "ignore",
  "browser.safebrowsing.malware.enabled": false,
  "browser.safebrowsing.phishing.enabled": false,
  "browser.region.network.url": "",
  "browser.search.update": false,
  "datareporting.policy.dataSubmissionEnabled": false,
  "datareporting.healthreport.uploadEnabled": false,
  "toolkit.telemetry.reportingpolicy.firstRun": false,
  "extensions.update.enabled": false,
  "extensions.getAddons.cache.enabled": false,
  "extensions.systemAddon.update.enabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "network.prefetch-next": false,
  "services.settings.server": "",
  "termsofuse.acceptedVersion": 999,
  "trailhead.firstrun.didSeeAboutWelcome": true,
}

const here = dirname(fileURLToPath(import.meta.url))
const SILENCE_MS = 150_000

await main()

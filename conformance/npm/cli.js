#!/usr/bin/env node
/**
 * npx lix-engine-conformance: the conformance suite on an engine in a browser's worker.
 *
 * Finds the runner and a browser, starts the one with the other, and is gone with it: its output is the runner's, and so is
 * its exit status. It downloads nothing, writes nothing and tests nothing itself.
 */

import { spawn } from "node:child_process"
import { existsSync, readFileSync, statSync } from "node:fs"
import { constants } from "node:os"
import { join } from "node:path"
import { findBrowser } from "./browser.js"
import { findRunner, INSTALL } from "./runner.js"

const HELP = `\
Tests an engine in a browser's worker against the contract lix.engine.v1.

npx lix-engine-conformance --worker FILE [OPTIONS] [RUNNER OPTIONS] [PATTERN…]
npx lix-engine-conformance --package DIR [OPTIONS] [RUNNER OPTIONS] [PATTERN…]
npx lix-engine-conformance COMMAND …                  any command of the runner: list, coverage, report, run --impl …

--worker FILE      the script of a Dedicated Worker that speaks the protocol; its folder is served on loopback
--classic          the script is no module
--serve DIR        serve this folder instead, for scripts that load what is beside or above them
--package DIR      a folder whose worker.js is the script
--browser PATH     a browser of the Chromium family; otherwise CHROMIUM or CHROME_PATH, Playwright's, or an installed one
--runner PATH      the runner; otherwise LIX_CONFORMANCE_BIN, or \`conformance\` on the path
--help --version

RUNNER OPTIONS are those of \`conformance run\`, among them --profile NAME, --known-failures FILE, --report human|json|junit|github,
--json FILE, --junit FILE, --html FILE, --name NAME, --skip PATTERN, --list, --start-timeout-ms N.

Exit status: the runner's (0 all required passed, 1 failures, 2 usage, 3 the engine or the browser did not start, 4 a fault of
the runner, 5 nothing ran), or 127 if there is no runner.

${INSTALL}`

const USAGE = 2
const NOT_STARTED = 3
const NO_RUNNER = 127

async function main(words) {
  if (words.length === 0) return stop(USAGE, HELP)
  const { own, rest } = split(words)
  if (own.help) return void process.stdout.write(HELP)
  if (own.version) return void console.log(JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8")).version)
  const args = command(own, rest)
  const runner = await findRunner(own.runner)
  if (runner.problem) return stop(NO_RUNNER, `${runner.problem}\n\n${INSTALL}`)

  const wantsBrowser = args.some((word) => /^(--impl=)?browser(-classic)?:/.test(word))
  const browser = findBrowser(own.browser)
  // An impl.json may name an engine that needs none, or a command of its own; then the runner says what is missing.
  if (browser.problem && (wantsBrowser || own.browser)) return stop(NOT_STARTED, browser.problem)
  await run(runner.path, args, browser.path)
}

/** What is ours, and what the runner gets, in its order. */
function split(words) {
  const own = {}
  const rest = []
  for (let at = 0; at < words.length; at++) {
    const [, flag, attached] = /^(--[a-z]+)(?:=(.*))?$/s.exec(words[at]) ?? []
    const name = flag?.slice(2)
    if (["help", "version", "classic"].includes(name) && attached === undefined) own[name] = true
    else if (["worker", "package", "browser", "runner"].includes(name)) {
      const value = attached ?? words[++at]
      if (!value) throw new Usage(`${flag} needs a value`)
      if (own[name]) throw new Usage(`${flag} is there twice`)
      own[name] = value
    } else rest.push(words[at])
  }
  return { own, rest }
}

/** The runner's command line. */
function command(own, rest) {
  if (own.worker && own.package) throw new Usage("--worker and --package exclude each other")
  const script = own.worker ?? (own.package && join(own.package, "worker.js"))
  if (!script) {
    if (own.classic) throw new Usage("--classic needs --worker or --package")
    if (rest[0]?.startsWith("-")) throw new Usage("which engine? --worker FILE, or --package DIR")
    return rest
  }
  if (rest.some((word) => word === "--impl" || word.startsWith("--impl="))) {
    throw new Usage("--impl names an engine, and so do --worker and --package; use one of them")
  }
  if (!existsSync(script)) throw new Usage(`${script} does not exist; is the worker built, and is that its name?`)
  if (!statSync(script).isFile()) throw new Usage(`${script} is a folder; --worker names the script, --package a folder with a worker.js`)
  const impl = `${own.classic ? "browser-classic" : "browser"}:${script}`
  return ["run", "--impl", impl, ...(rest[0] === "run" ? rest.slice(1) : rest)]
}

/** Ends as the runner does, and ends it when told to end. */
async function run(runner, args, browser) {
  const env = browser ? { ...process.env, CHROMIUM: browser } : process.env
  const child = spawn(runner, args, { stdio: "inherit", env })
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal))
  process.exitCode = await new Promise((resolve) => {
    child.on("error", (error) => resolve(stop(NO_RUNNER, `${runner} does not start: ${error.message}`)))
    child.on("exit", (code, signal) => resolve(code ?? 128 + constants.signals[signal]))
  })
}

function stop(status, why) {
  process.stderr.write(`lix-engine-conformance: ${why.trimEnd()}\n`)
  process.exitCode = status
  return status
}

class Usage extends Error {}

await main(process.argv.slice(2)).catch((error) => {
  if (!(error instanceof Usage)) throw error
  stop(USAGE, `${error.message}; see --help`)
})

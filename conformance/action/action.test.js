/**
 * The steps of action.yml, run as GitHub's runner would: in order, by bash, with the files and variables it gives them.
 *
 * Its expressions are resolved here, those that occur and no others. What cannot run here is its cache; both of its
 * answers are tried. The runner is installed in a debug build, because that is made already.
 */

import assert from "node:assert/strict"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { after, before, describe, it } from "node:test"
import { fileURLToPath } from "node:url"
import { parse } from "yaml"

const here = fileURLToPath(new URL(".", import.meta.url))
const repository = join(here, "../..")
const target = process.env.CARGO_TARGET_DIR ?? join(repository, "target")
const ENGINE = `stdio:${process.env.LIX_ENGINE_BIN ?? join(target, "debug/lix-engine")} serve --stdio`
const action = parse(readFileSync(join(here, "action.yml"), "utf8"))

let temp
before(() => {
  temp = realpathSync(mkdtempSync(join(tmpdir(), "conformance-action-")))
  mkdirSync(join(temp, "bin"))
  const cargo = join(temp, "bin/cargo")
  const path = process.env.PATH.split(delimiter).map((dir) => join(dir, "cargo")).find(existsSync)
  writeFileSync(cargo, `#!/bin/sh\nexec '${path}' "$@" --debug --quiet\n`)
  chmodSync(cargo, 0o755)
})
after(() => rmSync(temp, { recursive: true, force: true }))

describe("the definition", () => {
  it("says what each input and output is", () => {
    assert.equal(action.runs.using, "composite")
    for (const [name, each] of Object.entries({ ...action.inputs, ...action.outputs })) {
      assert.match(each.description, /\S/, name)
      assert.ok("default" in each || "value" in each || each.required === true, `${name} is undefined when it is left out`)
    }
  })

  it("uses every input, and none that is not there", () => {
    const used = JSON.stringify(action.runs.steps).matchAll(/inputs\.([a-z-]+)/g)
    assert.deepEqual(new Set([...used].map(([, name]) => name)), new Set(Object.keys(action.inputs)))
  })

  it("lets no text of others into a script", () => {
    for (const step of action.runs.steps.filter((step) => step.run)) {
      assert.equal(step.shell, "bash")
      assert.doesNotMatch(step.run, /\$\{\{/, "an expression in a script is code of whoever wrote its value")
    }
  })

  it("needs no other action than the cache", () => {
    assert.deepEqual(action.runs.steps.flatMap((step) => step.uses ?? []), ["actions/cache@v4"])
  })
})

describe("the steps", () => {
  it("install the runner, run it, and report", async () => {
    const { status, outputs, summary, log } = await play({
      impl: ENGINE,
      profile: "core",
      args: "--skip\n\nno/such/case\nvalues/blobs/**\n",
      junit: "out.xml",
      html: "out.html",
    })
    assert.equal(status, 0, log)
    assert.equal(outputs.status, "0")
    assert.ok(Number(outputs.passed) > 5, log)
    assert.deepEqual([outputs.failed, outputs.skipped], ["0", "0"])
    assert.ok(log.trim().endsWith(`${outputs.passed} passed, 0 failed, 0 skipped`), log)
    assert.match(summary, new RegExp(`^### Conformance: ${outputs.passed} passed[^]*\\| `))
    assert.equal(JSON.parse(readFileSync(outputs.json, "utf8")).totals.passed, Number(outputs.passed))
    for (const report of ["out.xml", "out.html"]) assert.ok(existsSync(join(temp, "workspace", report)), report)
  })

  it("take the runner from the cache, if it is there", async () => {
    const { status, ran, log } = await play({ impl: ENGINE, args: "values/blobs/every-byte" }, { cached: true })
    assert.equal(status, 0, log)
    assert.deepEqual(ran, ["sources", "run"])
  })

  it("build another runner when its sources are others", async () => {
    const checkout = join(temp, "checkout")
    const tracked = execFileSync("git", ["ls-files", "-z"], { cwd: repository, encoding: "utf8" }).split("\0").filter(Boolean)
    for (const name of tracked.filter((name) => existsSync(join(repository, name)))) cpSync(join(repository, name), join(checkout, name))
    const key = async () => {
      const { status, steps, log } = await play({ impl: ENGINE }, { checkout, only: "sources" })
      assert.equal(status, 0, log)
      return steps.sources.outputs.key
    }
    const before = await key()
    assert.match(before, /^[0-9a-f]{40}$/)
    assert.equal(await key(), before)
    appendFileSync(join(checkout, "conformance/cases/values/blobs.json"), " ")
    const changed = await key()
    assert.notEqual(changed, before)
    renameSync(join(checkout, "conformance/cases/values/blobs.json"), join(checkout, "conformance/cases/values/bytes.json"))
    assert.notEqual(await key(), changed)
  })

  it("are red with annotations when a case fails", async () => {
    writeFileSync(join(temp, "workspace/stale.txt"), "values/blobs/every-byte fail it does not, in fact\n")
    const inputs = { impl: ENGINE, "known-failures": "stale.txt", args: "values/blobs/*" }
    const { status, outputs, summary, log } = await play(inputs, { cached: true })
    assert.equal(status, 1, log)
    assert.deepEqual([outputs.status, outputs.failed], ["1", "1"])
    assert.match(log, /^::error/m)
    assert.match(summary, /1 failed/)
  })

  it("are red when nothing can be tested, and do not show an older report", async () => {
    const { status, outputs, summary, log } = await play({ impl: "stdio:cat" }, { cached: true })
    assert.equal(status, 3, log)
    assert.deepEqual([outputs.status, outputs.passed, outputs.json], ["3", undefined, undefined])
    assert.match(log, /this is no engine/)
    assert.match(summary, /did not run/)
  })

  it("take what is given as it is", async () => {
    const inputs = { impl: "stdio:cat", args: '$(touch pwned)\n`touch pwned`\n"; touch pwned; "' }
    await play(inputs, { cached: true })
    assert.ok(!existsSync(join(temp, "workspace/pwned")))
  })

  it("start where they are told", async () => {
    mkdirSync(join(temp, "workspace/below"), { recursive: true })
    const { log } = await play({ impl: "stdio:sh -c 'pwd >&2'", "working-directory": "below" }, { cached: true })
    assert.match(log, /workspace\/below/)
  })
})

/** Runs the steps as far as they come. */
async function play(given, { cached = false, checkout = repository, only } = {}) {
  for (const [name, input] of Object.entries(action.inputs)) assert.ok(name in given || !input.required, `${name} is required`)
  const inputs = Object.fromEntries(Object.entries(action.inputs).map(([name, input]) => [name, given[name] ?? input.default]))
  const workspace = join(temp, "workspace")
  mkdirSync(workspace, { recursive: true })
  const context = { inputs, steps: {}, runner: { temp, os: "Linux", arch: "X64" } }
  const done = { status: 0, ran: [], log: "", summary: "" }
  for (const step of action.runs.steps) {
    if ((only && step.id !== only) || (step.if && !holds(step.if, context))) continue
    if (step.uses) {
      for (const value of Object.values(step.with)) assert.match(resolved(value, context), /^[^\s$]+$/)
      context.steps[step.id] = { outputs: { "cache-hit": String(cached) } }
      continue
    }
    const files = { GITHUB_OUTPUT: join(temp, "output"), GITHUB_STEP_SUMMARY: join(temp, "summary") }
    for (const file of Object.values(files)) writeFileSync(file, "")
    const own = Object.entries(step.env ?? {}).map(([name, value]) => [name, resolved(value, context)])
    const child = spawn("bash", ["--noprofile", "--norc", "-eo", "pipefail", "-c", step.run], {
      cwd: join(workspace, resolved(step["working-directory"] ?? ".", context)),
      env: {
        ...process.env,
        PATH: [join(temp, "bin"), process.env.PATH].join(delimiter),
        GITHUB_ACTION_PATH: join(checkout, "conformance/action"),
        ...files,
        ...Object.fromEntries(own),
      },
      stdio: ["ignore", "pipe", "pipe"],
    })
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (done.log += text))
    const [status] = await once(child, "close")
    const lines = readFileSync(files.GITHUB_OUTPUT, "utf8").split("\n").filter(Boolean)
    const outputs = Object.fromEntries(lines.map((line) => /^([^=]+)=(.*)$/.exec(line).slice(1)))
    if (step.id) context.steps[step.id] = { outputs }
    done.ran.push(step.id ?? "install")
    done.summary += readFileSync(files.GITHUB_STEP_SUMMARY, "utf8")
    done.status = status
    if (status !== 0) break
  }
  if (only) return { ...done, steps: context.steps }
  const outputs = Object.entries(action.outputs).map(([name, { value }]) => [name, resolved(value, context) || undefined])
  return { ...done, outputs: Object.fromEntries(outputs) }
}

const resolved = (text, context) =>
  String(text).replace(/\$\{\{ *(.*?) *\}\}/g, (_, path) => value(path, context))

/** `a.b.c`; what is not there is empty, as with GitHub, but its first two names have to be known. */
function value(path, context) {
  assert.match(path, /^(inputs\.[a-z-]+|runner\.[a-z]+|steps\.[a-z]+\.outputs\.[a-z-]+)$/)
  const [first, second, ...rest] = path.split(".")
  assert.ok(second in context[first], `${path}: there is no ${second} at this point`)
  return rest.reduce((from, name) => from?.[name], context[first][second]) ?? ""
}

function holds(condition, context) {
  const [, path, wanted] = /^([a-z.-]+) != '([^']*)'$/.exec(condition)
  return value(path, context) !== wanted
}

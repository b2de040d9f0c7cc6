/**
 * What of the Containerfile can be checked without a container engine: it copies what is there, and what it copies is
 * enough to build the runner. The images themselves are not built here.
 */

import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, delimiter, join } from "node:path"
import { describe, it } from "node:test"
import { fileURLToPath } from "node:url"

const repository = fileURLToPath(new URL("..", import.meta.url))
const target = process.env.CARGO_TARGET_DIR ?? join(repository, "target")
const stages = read(readFileSync(new URL("Containerfile", import.meta.url), "utf8"))
const stage = (name) => stages.find((stage) => stage.name === name)
const copies = ({ steps }) => steps.filter(([word]) => word === "COPY").map(([, ...words]) => words)

describe("Containerfile", () => {
  it("has the stages that its readers know, the runner last", () => {
    assert.deepEqual(stages.map(({ name }) => name), ["build", "base", "browser", "runner"])
    assert.deepEqual([stage("browser").from, stage("runner").from], ["base", "base"])
    assert.deepEqual(stage("base").steps.find(([word]) => word === "ENTRYPOINT").slice(1), ['["conformance"]'])
  })

  it("builds with the Rust that is pinned", () => {
    const [, pinned] = /channel = "([^"]+)"/.exec(readFileSync(join(repository, "rust-toolchain.toml"), "utf8"))
    assert.match(stage("build").from, new RegExp(`^rust:${pinned.replaceAll(".", "\\.")}-`))
  })

  it("copies only what is committed, and takes the program from where it was put", () => {
    for (const [, ...sources] of copies(stage("build")).map((words) => words.toReversed())) {
      for (const source of sources) {
        const tracked = execFileSync("git", ["ls-files", source], { cwd: repository, encoding: "utf8" })
        assert.notEqual(tracked, "", `${source} is not in the repository`)
      }
    }
    assert.deepEqual(copies(stage("base")), [["--from=build", "/out/bin/conformance", "/usr/local/bin/"]])
    assert.ok(stage("build").steps.some(([word, ...rest]) => word === "RUN" && rest.join(" ").endsWith("--root /out")))
  })

  it("builds the runner from what it copies", () => {
    // The folder stays, so that the next time only what has changed is compiled.
    const source = join(target, "conformance-container/src")
    rmSync(source, { recursive: true, force: true })
    for (const words of copies(stage("build"))) {
      const to = words.at(-1)
      for (const from of words.slice(0, -1)) {
        const path = to.endsWith("/") ? join(to, basename(from)) : to
        mkdirSync(join(source, path, ".."), { recursive: true })
        const isWanted = (file) => basename(file) !== "node_modules"
        cpSync(join(repository, from), join(source, path), { recursive: true, preserveTimestamps: true, filter: isWanted })
      }
    }
    const temp = realpathSync(mkdtempSync(join(tmpdir(), "conformance-container-")))
    try {
      // A debug build, because its dependencies are there.
      const cargo = process.env.PATH.split(delimiter).map((dir) => join(dir, "cargo")).find(existsSync)
      writeFileSync(join(temp, "cargo"), `#!/bin/sh\nexec '${cargo}' "$@" --debug --quiet\n`)
      chmodSync(join(temp, "cargo"), 0o755)
      for (const [, ...words] of stage("build").steps.filter(([word]) => word === "RUN")) {
        execFileSync("sh", ["-ec", words.join(" ").replaceAll("/out", join(temp, "out"))], {
          cwd: source,
          env: { ...process.env, PATH: [temp, process.env.PATH].join(delimiter), CARGO_TARGET_DIR: target },
          stdio: ["ignore", "inherit", "inherit"],
        })
      }
      const program = join(temp, "out/bin/conformance")
      assert.ok(statSync(program).isFile())
      const listed = execFileSync(program, ["list"], { cwd: temp, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
      assert.ok(listed.split("\n").length > 400, "the cases are inside")
    } finally {
      rmSync(temp, { recursive: true, force: true })
    }
  })
})

/** Instructions as lists of words, by stage. */
function read(text) {
  const lines = text.replace(/^#.*\n/gm, "").replace(/\\\n/g, " ").split("\n").filter((line) => line.trim())
  const stages = []
  for (const line of lines) {
    const [word, ...rest] = line.trim().split(/\s+/)
    assert.ok(["FROM", "WORKDIR", "COPY", "RUN", "ENTRYPOINT", "CMD"].includes(word), `${word} is no instruction that this file needs`)
    if (word === "FROM") {
      assert.equal(rest[1], "AS", line)
      stages.push({ from: rest[0], name: rest[2], steps: [] })
    } else stages.at(-1).steps.push([word, ...rest])
  }
  return stages
}

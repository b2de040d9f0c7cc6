/** Finds the runner: a program of Rust with the cases inside of it. Looks, asks it its name, and downloads nothing. */

import { execFile } from "node:child_process"
import { homedir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { isProgram, named, onPath } from "./browser.js"

export const INSTALL = `\
The runner is a program of its own, with the cases inside of it. To get it, with Rust (https://rustup.rs):

  cargo install --locked --git URL-OF-THE-LIX-ENGINE-REPOSITORY lix-engine-conformance

or, in a clone of that repository: cargo install --locked --path conformance/runner
`

/** Its path, or the problem. */
export async function findRunner(option) {
  const given = option ?? process.env.LIX_CONFORMANCE_BIN
  if (given) {
    const how = option ? "--runner" : "LIX_CONFORMANCE_BIN"
    const found = named(how, given)
    if (found.problem || (await isRunner(found.path))) return found
    return { problem: `${how} is ${given}, which is not the conformance runner.` }
  }
  const cargo = join(process.env.CARGO_HOME || join(homedir(), ".cargo"), "bin", onWindows("conformance"))
  const others = []
  for (const path of [...onPath("conformance"), cargo].filter(isProgram)) {
    if (await isRunner(path)) return { path }
    others.push(path)
  }
  // Others may call a program of theirs `conformance` too.
  const why = others.length > 0 ? ` ${others.join(", ")} is another program of that name.` : ""
  return { problem: `the runner is not installed: no \`conformance\` on the path, and neither --runner nor LIX_CONFORMANCE_BIN.${why}` }
}

async function isRunner(path) {
  try {
    const { stdout } = await promisify(execFile)(path, ["--version"], { timeout: 10_000 })
    return stdout.startsWith("lix-engine-conformance ")
  } catch {
    return false
  }
}

const onWindows = (name) => (process.platform === "win32" ? `${name}.exe` : name)

/** Finds a browser of the Chromium family that is already there. Starts none. */

import { accessSync, constants, statSync } from "node:fs"
import { createRequire } from "node:module"
import { delimiter, join, resolve } from "node:path"

/** Its path, or the problem. What is named and is not there is a problem, not a reason to take another. */
export function findBrowser(given) {
  if (given) return named("--browser", given)
  for (const name of ["CHROMIUM", "CHROME_PATH"]) {
    if (process.env[name]) return named(name, process.env[name])
  }
  const path = playwrights() ?? [...onPath(...NAMES), ...PLACES].find(isProgram)
  if (path) return { path }
  return {
    problem: `no browser of the Chromium family found. Looked for Playwright's, for ${NAMES.join(", ")} on the path, and in the usual places.
Install one (a package of your system, or npx playwright install chromium beside playwright-core), or name it: --browser PATH, or CHROMIUM=PATH.`,
  }
}

/** Where programs of these names are, on the path. */
export function onPath(...names) {
  const folders = (process.env.PATH ?? "").split(delimiter).filter(Boolean)
  const suffix = process.platform === "win32" ? ".exe" : ""
  return names.flatMap((name) => folders.map((folder) => join(folder, name + suffix)))
}

export function isProgram(path) {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/** A program that was named, as a shell finds it: a bare name on the path, anything else as a file. */
export function named(how, name) {
  const path = [...(/[\\/]/.test(name) ? [] : onPath(name)), resolve(name)].find(isProgram)
  return path ? { path } : { problem: `${how} is ${name}, and no such program is there.` }
}

/** The one that Playwright would start, if it is installed where we are called, and its browser too. */
function playwrights() {
  const require = createRequire(join(process.cwd(), "package.json"))
  for (const name of ["playwright-core", "playwright", "@playwright/test"]) {
    try {
      const path = require(name).chromium.executablePath()
      if (isProgram(path)) return path
    } catch {
      // Not installed, or without this browser.
    }
  }
  return undefined
}

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge"]

const PLACES = {
  linux: ["/usr/bin/chromium", "/usr/bin/google-chrome", "/opt/google/chrome/chrome", "/snap/bin/chromium"],
  darwin: [
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
  ],
  win32: ["PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"].flatMap((root) =>
    process.env[root]
      ? [
          join(process.env[root], "Google/Chrome/Application/chrome.exe"),
          join(process.env[root], "Microsoft/Edge/Application/msedge.exe"),
        ]
      : [],
  ),
}[process.platform] ?? []

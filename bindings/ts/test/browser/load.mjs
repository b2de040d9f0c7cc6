/**
 * Pages under load, seen from outside: a database that a page keeps writing to, and what the pages
 * told the server about it. Whatever happens to a page, the next one has to open the database.
 */

import assert from "node:assert/strict"
import { readdirSync, readFileSync } from "node:fs"
import { bounded } from "./harness.mjs"

/** The server's side: what is known of each path. */
export class Ledger {
  #paths = new Map()

  of(path) {
    if (!this.#paths.has(path)) this.#paths.set(path, { stored: 0, opened: 0, restored: 0, closed: [], errors: [], waiting: [] })
    return this.#paths.get(path)
  }

  /** Answers what pages/opfs.ts asks of `/load`. */
  answer = (path, response, request) => {
    if (path !== "/load") return false
    const entry = this.of(new URL(request.url, "http://localhost").searchParams.get("path"))
    if (request.method === "GET") {
      response.writeHead(200, { "content-type": "application/json", "cache-control": "no-cache" }).end(String(entry.stored))
      return true
    }
    let body = ""
    request.on("data", (chunk) => (body += chunk))
    request.on("end", () => {
      response.writeHead(204).end()
      const { stored, opened, restored, closed, error } = JSON.parse(body)
      if (stored !== undefined) entry.stored = Math.max(entry.stored, stored)
      if (opened !== undefined) entry.opened++
      if (restored !== undefined) entry.restored++
      if (closed !== undefined) entry.closed.push(closed)
      if (error !== undefined) entry.errors.push(error)
      for (const wake of entry.waiting.splice(0)) wake()
    })
    return true
  }

  /** Resolves when the path's ledger satisfies the condition; an error that a page met ends the wait. */
  async until(path, condition, what) {
    const entry = this.of(path)
    const met = entry.errors.length
    while (!condition(entry)) {
      if (entry.errors.length > met) throw new Error(entry.errors.at(-1))
      await bounded(new Promise((resolve) => entry.waiting.push(resolve)), 15_000, what)
    }
    return entry
  }
}

/** Opens the path on a page, or lets the page do it again, and waits until it writes. */
export async function underLoad(ledger, path, navigate) {
  const { opened, stored } = ledger.of(path)
  const arrived = ledger.until(path, (entry) => entry.opened > opened, `${path}: the page to open it`)
  arrived.catch(() => {})
  await navigate()
  await arrived
  await ledger.until(path, (entry) => entry.stored > stored, `${path}: a save`)
}

export const moment = (ms) => new Promise((resolve) => setTimeout(resolve, Math.random() * ms))

/** Kills the renderer processes of the browser with this profile, as the system does when memory is short. */
export function killRenderers(profile) {
  const processes = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      // Forked processes name themselves, with spaces where others have NUL.
      const command = readFileSync(`/proc/${pid}/cmdline`, "latin1").split(/[\0 ]/)
      const parent = Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))[1])
      return [{ pid: Number(pid), parent, command }]
    } catch {
      return []
    }
  })
  const browser = processes.find(({ command }) => command.includes(`--user-data-dir=${profile}`) && !command.some((part) => part.startsWith("--type=")))
  assert.ok(browser, "the browser's process")
  const ours = new Set([browser.pid])
  for (let size = 0; size !== ours.size; ) {
    size = ours.size
    for (const { pid, parent } of processes) if (ours.has(parent)) ours.add(pid)
  }
  const renderers = processes.filter(({ pid, command }) => ours.has(pid) && command.includes("--type=renderer"))
  assert.ok(renderers.length > 0, "a renderer process")
  for (const { pid } of renderers) process.kill(pid, "SIGKILL")
  return renderers.length
}

// The lixes of this browser: each a database of its own in the origin private file system, open in one tab at a time.
import { createWorkerOpfsEngine, opfs, type LixEngine } from "lix-engine"
import { createAccount, createCheckpoint, type Lix, openLix, switchAccount } from "lix-engine/lix"
import csvPlugin from "../../../plugins/csv/dist/index.js?raw"
import jsonPlugin from "../../../plugins/json/dist/index.js?raw"
import markdownPlugin from "../../../plugins/markdown/dist/index.js?raw"
import textPlugin from "../../../plugins/text/dist/index.js?raw"
import { EXAMPLE_FILES } from "./examples.ts"

export interface Account {
  readonly id: string
  readonly name: string
}

export interface OpenedLix {
  readonly lix: Lix
  readonly engine: LixEngine
  readonly name: string
}

/** Whoever sits at this browser is one of them. */
export const ACCOUNTS: readonly Account[] = [
  { id: "ada", name: "Ada" },
  { id: "ben", name: "Ben" },
]

/** The names of what is kept here; empty where nothing can be. */
export async function storedLixes(): Promise<string[]> {
  const stored = await opfs.list().catch(() => [])
  return stored.filter(({ path }) => path.startsWith(DIRECTORY) && path.endsWith(ENDING)).map(({ path }) => path.slice(DIRECTORY.length, -ENDING.length))
}

/** The one that was open last, if it is still there. */
export async function lastLix(): Promise<string | undefined> {
  const names = await storedLixes()
  const last = read()
  return last !== undefined && names.includes(last) ? last : names[0]
}

/** Opens what is kept under the name. */
export function openStored(name: string, busyWaitMs: number): Promise<OpenedLix> {
  return open(name, "open", busyWaitMs)
}

/** Makes a new lix, by Ada. */
export async function createLix(name: string, withExamples: boolean): Promise<OpenedLix> {
  const opened = await open(name, "create", 0, { account: ACCOUNTS[0], keyValues: [{ key: "lix_name", value: name, lixcol_version_id: "global" }] })
  if (withExamples) {
    const encoder = new TextEncoder()
    await opened.lix.db.transaction().execute(async (db) => {
      for (const { path, text } of EXAMPLE_FILES) await db.insertInto("file").values({ path, data: encoder.encode(text) }).execute()
    })
    await createCheckpoint({ lix: opened.lix })
  }
  return opened
}

/** Keeps a `.lix` file under a name that is free, and opens it. */
export async function importLix(file: File): Promise<OpenedLix> {
  const wanted = file.name.replace(/\.(lix|sqlite|db)$/i, "").replace(/[\\/\p{Cc}]/gu, " ").trim().normalize("NFC") || "Imported"
  return open(await freeName(wanted), "create", 0, { blob: file })
}

export async function deleteStored(name: string): Promise<void> {
  await opfs.delete(pathOf(name))
}

export async function freeName(wanted: string): Promise<string> {
  const names = await storedLixes()
  if (!names.includes(wanted)) return wanted
  let number = 2
  while (names.includes(`${wanted} ${number}`)) number += 1
  return `${wanted} ${number}`
}

export function pathOf(name: string): string {
  return `${DIRECTORY}${name}${ENDING}`
}

async function open(name: string, openMode: "open" | "create", busyWaitMs: number, options: { account?: Account | undefined; blob?: Blob; keyValues?: { key: string; value: string; lixcol_version_id: string }[] } = {}): Promise<OpenedLix> {
  // Plugins are text: the worker imports them, and the page never runs them.
  const engine = createWorkerOpfsEngine({ path: pathOf(name), storage: "auto", openMode, busyWaitMs, expProvideStringifiedPlugins: [markdownPlugin, jsonPlugin, csvPlugin, textPlugin] })
  const lix = await openLix({ engine, ...options })
  await ensureAccounts(lix)
  write(name)
  return { lix, engine, name }
}

/** Both exist, and one of them works, whoever made the file. */
async function ensureAccounts(lix: Lix): Promise<void> {
  const ids = ACCOUNTS.map(({ id }) => id)
  const there = await lix.db.selectFrom("account").select("id").where("id", "in", ids).execute()
  const missing = ACCOUNTS.filter(({ id }) => !there.some((account) => account.id === id))
  if (missing.length > 0) {
    await lix.db.transaction().execute(async (db) => {
      for (const account of missing) await createAccount({ lix: { db }, ...account, lixcol_version_id: "global" })
    })
  }
  const active = await lix.db.selectFrom("active_account").select("account_id").execute()
  if (!active.some(({ account_id }) => ids.includes(account_id))) await switchAccount({ lix, to: [ACCOUNTS[0]!] })
}

/** Storage may be denied; then the first one is opened. */
function read(): string | undefined {
  try {
    return localStorage.getItem("lix") ?? undefined
  } catch {
    return undefined
  }
}

function write(name: string): void {
  try {
    localStorage.setItem("lix", name)
  } catch {
    // See above.
  }
}

const DIRECTORY = "lixes/"
const ENDING = ".lix"

// The engine's page: a visitor's way through queries, saving, damage and the race of two threads.
//
// The checks run in order, each from where the one before it left the page.
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { availableParallelism, loadavg } from "node:os"
import sqlite3InitModule from "@sqlite.org/sqlite-wasm"
import { BOUND, docs, LIMIT_MS, longestTaskCpuMs, machineLoad, newPage, PLAIN_HOST, shoot, text } from "./harness.mjs"

export const name = "bench"

/** Where the checks begin. */
export async function start(world) {
  world.url = `${world.origin}bench.html`
  world.page = await newPage(world)
  await open(world.page, world.url)
}

export const checks = {
  "the page is not cross-origin isolated, and says so": async ({ page, responses }) => {
    assert.equal(await page.evaluate(() => crossOriginIsolated), false)
    assert.equal(await text(page, "#fact-isolated"), "false")
    for (const response of responses) {
      const headers = response.headers()
      assert.equal(headers["cross-origin-opener-policy"], undefined)
      assert.equal(headers["cross-origin-embedder-policy"], undefined)
    }
  },

  "engine and SQLite name their versions": async ({ page }) => {
    assert.match(await text(page, "#fact-engine"), /^\d+\.\d+\.\d+/)
    assert.match(await text(page, "#fact-sqlite"), /^3\.\d+\.\d+$/)
  },

  "the bundled data set is on the page": async ({ page }) => {
    assert.equal(await rowCount(page), 135_233)
    assert.match(await text(page, "#status"), /^135,233 rows/)
    await page.waitForSelector("#schema-list[data-counted]", BOUND)
    const tables = await page.$$eval("#schema-list details", (items) => items.map((item) => `${item.dataset.table} ${item.querySelector(".count").textContent}`))
    assert.deepEqual(tables, ["continent 7", "country 252", "kind 18", "place 135,233", "region 3,663"])
    assert.match(await text(page, "#credit"), /GeoNames.*CC BY 4\.0/s)
    const licence = await page.evaluate(() => fetch("./CC-BY-4.0.txt").then((response) => response.text()))
    assert.match(licence, /Attribution 4\.0 International/)
  },

  "known answers come out": async ({ page }) => {
    await query(page, "SELECT count(*) AS n, count(population) AS known, sum(population) AS people, min(lat) AS south FROM place")
    assert.deepEqual(await cells(page, 0), ["135233", "122445", "3133032118", "-77.846"])
    await example(page, "Largest cities")
    assert.equal(await rowCount(page), 250)
    assert.deepEqual((await cells(page, 0)).slice(0, 4), ["1", "Shanghai", "China", "22315474"])
    assert.deepEqual((await cells(page, 1)).slice(0, 4), ["2", "Istanbul", "Türkiye", "14804116"])
    assert.deepEqual((await cells(page, 2)).slice(0, 4), ["3", "Buenos Aires", "Argentina", "13076300"])
    assert.match(await text(page, "#map figcaption"), /^250 points/)
    await page.click("#grid .grid-body .grid-row:nth-child(2) [role=gridcell]:nth-child(3)")
    await shoot(page, "result")
  },

  "every storage class has its look": async ({ page }) => {
    await example(page, "Every type")
    const shown = await page.$$eval("#grid .grid-body .grid-row:first-child [role=gridcell]", (all) => all.map((cell) => [cell.className, cell.textContent]))
    assert.deepEqual(shown.slice(0, 5), [
      ["v-integer", "9007199254740993"],
      ["v-real", "0.30000000000000004"],
      ["v-text", "naïve café ☕"],
      ["v-null", "NULL"],
      ["v-blob", "4c697820456e67696e65 · 10 B"],
    ])
    assert.match(shown[5][1], /^[0-9a-f]{32}… · 64 B$/)
    assert.match(shown[6][1], /^\{"sqlite":"3\./)
    assert.match(await text(page, "#grid .grid-head"), /big_integer.*integer.*text.*blob/s)
  },

  "no rows are a result too": async ({ page }) => {
    await query(page, "SELECT name FROM place WHERE population < 0")
    assert.match(await text(page, "#status"), /^No rows · /)
    assert.equal(await rowCount(page), 0)
  },

  "every example but the typo answers": async ({ page }) => {
    const labels = await page.$$eval("#examples button", (buttons) => buttons.map((button) => button.textContent))
    assert.equal(labels.length, 8)
    for (const label of labels.slice(0, -1)) {
      await example(page, label)
      assert.ok((await rowCount(page)) > 0, `${label} has no rows`)
    }
  },

  "a mistake is pointed at": async ({ page }) => {
    await example(page, "A typo", { fails: true })
    assert.match(await text(page, "#problem"), /^INVALID \/ SQL_ERROR.*poplation.*line 1, column 14$/s)
    assert.equal(await text(page, "#sql-paint .wrong"), "poplation")
    await shoot(page, "error")
    // The engine counts bytes, the page characters.
    await query(page, "SELECT 'grün ☕ 🌍', nope FROM place", { fails: true })
    assert.equal(await text(page, "#sql-paint .wrong"), "nope")
    assert.match(await text(page, "#problem"), /line 1, column 21$/)
    await query(page, "SELECT 1; SELECT 2", { fails: true })
    assert.match(await text(page, "#problem"), /^INVALID \/ SQL_MULTIPLE/)
    await query(page, "SELECT 'still here' AS answer")
    assert.equal(await page.isHidden("#problem"), true)
    assert.deepEqual(await cells(page, 0), ["still here"])
  },

  "the keyboard is enough": async ({ page }) => {
    await open(page)
    await page.keyboard.press("Tab")
    assert.equal(await page.evaluate(() => document.activeElement.className), "skip")
    await page.keyboard.press("Enter")
    assert.equal(await page.evaluate(() => document.activeElement.id), "sql")
    await page.keyboard.press("Control+A")
    await page.keyboard.type("SELECT name, population FROM place WHERE country = 'AT' ORDER BY population DESC")
    await page.keyboard.press("Control+Enter")
    await page.waitForSelector("body[data-query=done]", BOUND)
    assert.deepEqual(await cells(page, 0), ["Vienna", "1691468"])
    // Out of the editor again (Tab does not indent), over the buttons, into the table.
    let focused = ""
    for (let presses = 0; presses < 20 && focused !== "grid"; presses++) {
      await page.keyboard.press("Tab")
      focused = await page.evaluate(() => document.activeElement.id)
      const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle)
      assert.equal(outline, "solid", `no visible focus on ${focused}`)
    }
    assert.equal(focused, "grid")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowRight")
    const active = await page.evaluate(() => document.getElementById(document.getElementById("grid").getAttribute("aria-activedescendant")).textContent)
    assert.equal(active, (await cells(page, 1))[1])
    assert.match(await text(page, "#cell"), /^population\s*integer\s*\d+$/)
  },

  "a statement that never ends is got rid of": async ({ page }) => {
    await page.fill("#sql", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")
    await page.press("#sql", "Control+Enter")
    await page.waitForSelector("#cancel:visible", BOUND)
    await page.keyboard.press("Escape")
    await page.click("#restart", BOUND)
    await page.waitForSelector("body[data-query=done]", BOUND)
    await query(page, "SELECT count(*) AS n FROM region")
    assert.deepEqual(await cells(page, 0), ["3663"])
  },

  "a hundred thousand rows scroll to the end, a few dozen exist": async ({ page }) => {
    await query(page, "SELECT id, name, population FROM place ORDER BY id")
    assert.equal(await rowCount(page), 135_233)
    await page.focus("#grid")
    await page.keyboard.press("Control+End")
    const last = page.locator('#grid [data-row="135232"]')
    await last.waitFor(BOUND)
    assert.equal(await last.locator("[role=gridcell]").first().textContent(), "12145745")
    assert.equal(await last.getAttribute("aria-rowindex"), "135234")
    assert.ok((await page.$$("#grid .grid-body .grid-row")).length < 80)
    const box = await last.boundingBox()
    const view = await page.locator("#grid").boundingBox()
    assert.ok(box.y >= view.y && box.y + box.height <= view.y + view.height + 1, "the last row is in view")
    // The same by scrolling: all the way up, then halfway.
    await page.$eval("#grid", (grid) => grid.scrollTo(0, 0))
    await page.waitForSelector('#grid [data-row="0"]', BOUND)
    await page.$eval("#grid", (grid) => grid.scrollTo(0, grid.scrollHeight / 2))
    await page.waitForSelector('#grid [data-row="67620"]', BOUND)
  },

  "a table longer than an element can be high still ends": async ({ page }) => {
    await query(page, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) SELECT i, i * i AS square FROM n")
    assert.equal(await rowCount(page), 1_000_000)
    await page.focus("#grid")
    await page.keyboard.press("Control+End")
    const last = page.locator('#grid [data-row="999999"]')
    await last.waitFor(BOUND)
    assert.deepEqual(await last.locator("[role=gridcell]").allTextContents(), ["1000000", "1000000000000"])
    await page.keyboard.press("ArrowUp")
    await page.waitForFunction(() => document.querySelector("#cell code")?.textContent === "999998000001", null, BOUND)
  },

  "what is written is counted, shown and exported": async ({ page }) => {
    await query(page, "CREATE TABLE visit (id INTEGER PRIMARY KEY, place INTEGER NOT NULL REFERENCES place (id), note TEXT)")
    await query(page, "INSERT INTO visit (place, note) SELECT id, 'coffee' FROM place WHERE name = 'Vienna'")
    assert.match(await text(page, "#status"), /last rowid \d+ · \d+ rows? changed/)
    await page.waitForFunction(() => /^[1-9]\d*$/.test(document.querySelector('details[data-table="visit"] .count')?.textContent ?? ""), null, BOUND)
    const written = Number(await text(page, 'details[data-table="visit"] .count'))
    const [download] = await Promise.all([page.waitForEvent("download", BOUND), page.click("#export")])
    assert.equal(download.suggestedFilename(), "places.sqlite")
    const rows = await readDatabase(new Uint8Array(readFileSync(await download.path())), [
      "PRAGMA integrity_check",
      "SELECT count(*) FROM visit WHERE note = 'coffee'",
      "SELECT count(*) FROM place",
    ])
    assert.deepEqual(rows, [[["ok"]], [[written]], [[135_233]]])
  },

  "what is written is saved, and the page says so while it happens": async ({ page }) => {
    await saved(page)
    await page.evaluate(() => {
      const badge = document.getElementById("saving")
      window.standings = [badge.dataset.state]
      new MutationObserver(() => window.standings.at(-1) !== badge.dataset.state && window.standings.push(badge.dataset.state)).observe(badge, { attributes: true })
    })
    const before = await bornInMelk(page)
    await example(page, "A newborn")
    assert.deepEqual((await cells(page, 0)).slice(0, 2), ["Melk", String(before + 1)])
    await saved(page)
    assert.deepEqual(await page.evaluate(() => window.standings), ["saved", "unsaved", "saving", "saved"])
    assert.match(await page.getAttribute("#saving", "title"), /^demo\/places\.sqlite: commit \d+, [\d.]+ kB written at /)
    assert.equal(await page.isHidden("#notice"), true)
    // Half a transaction is not saved, and nobody says it is.
    await query(page, "BEGIN")
    await query(page, "UPDATE place SET population = -1 WHERE name = 'Melk'")
    assert.equal(await text(page, "#saving"), "Saved up to the transaction")
    await query(page, "ROLLBACK")
    assert.equal(await text(page, "#saving"), "Saved")
    await shoot(page, "saved")
  },

  "a reload finds it again, without the server": async ({ page, requests }) => {
    const before = await bornInMelk(page)
    await example(page, "A newborn")
    await saved(page)
    const asked = requests.length
    await page.reload()
    await ready(page)
    assert.equal(await bornInMelk(page), before + 1)
    await query(page, "SELECT note FROM visit")
    assert.deepEqual(await cells(page, 0), ["coffee"])
    assert.equal(await text(page, "#saving"), "Saved")
    assert.match(await page.getAttribute("#saving", "title"), /as it was found/)
    assert.deepEqual(requests.slice(asked).filter((url) => url.endsWith("places.sqlite")), [])
  },

  "a second tab is told, and gets the database when the first has closed": async (world) => {
    const first = world.page
    const before = await bornInMelk(first)
    const second = await newPage(world)
    await second.goto(world.url)
    const isTold = async () => {
      await second.waitForSelector("#saving[data-state=busy]", BOUND)
      assert.match(await text(second, "#notice"), /^demo\/places\.sqlite is open in another tab\./)
      assert.equal(await text(second, "#saving"), "Open in another tab")
      assert.equal(await second.getAttribute("body", "data-ready"), null)
      assert.equal(await second.isHidden("#problem"), true)
    }
    await isTold()
    await shoot(second, "busy")
    await second.click("#try-again")
    await second.waitForSelector("#saving[data-state=opening]", BOUND)
    await isTold()
    // The first one is as it was.
    await example(first, "A newborn")
    await saved(first)
    await first.close()
    world.page = second
    await second.click("#try-again")
    await ready(second)
    assert.equal(await second.isHidden("#notice"), true)
    assert.equal(await text(second, "#saving"), "Saved")
    assert.equal(await bornInMelk(second), before + 1)
  },

  "a page that is put aside lets go, and takes it back unless somebody has changed it": async (world) => {
    const { page } = world
    const before = await bornInMelk(page)
    // The events are the test's: a browser freezes no page that somebody drives.
    const tell = (event) => page.evaluate((event) => document.dispatchEvent(new Event(event)), event)
    const other = await newPage(world)
    for (const changes of [false, true]) {
      await tell("freeze")
      await open(other, world.url)
      if (changes) await example(other, "A newborn")
      if (changes) await saved(other)
      if (!changes) {
        // Back while the other one has it: work goes on, and what is written waits.
        await tell("resume")
        await page.waitForSelector("#saving[data-state=aside]", BOUND)
        await page.waitForSelector("#notice:not([hidden])", BOUND)
        assert.match(await text(page, "#notice"), /^"demo\/places\.sqlite" is in use.*in this tab only/)
        await example(page, "A newborn")
        assert.equal(await text(page, "#saving"), "Set aside, not saved")
        await shoot(page, "aside")
      }
      await other.goto("about:blank")
      if (!changes) {
        await saved(page)
        assert.equal(await bornInMelk(page), before + 1)
      }
    }
    await other.close()
    await tell("resume")
    await page.waitForSelector("#open-again", BOUND)
    assert.match(await text(page, "#notice"), /^Another tab has changed demo\/places\.sqlite/)
    await page.evaluate(() => delete document.body.dataset.ready)
    await page.click("#open-again")
    await ready(page)
    assert.equal(await bornInMelk(page), before + 2)
  },

  "a save that fails is shown, and made up for": async ({ page, context, origin }) => {
    const before = await bornInMelk(page)
    const browser = await context.newCDPSession(page)
    const quota = (bytes) => browser.send("Storage.overrideQuotaForOrigin", { origin: new URL(origin).origin, ...bytes })
    // The browser's own refusal: no room for this origin beyond what it has.
    await quota({ quotaSize: 1_000_000 })
    await query(page, "CREATE TABLE ballast AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 40) SELECT i, randomblob(1000000) AS noise FROM n")
    await page.waitForSelector("#saving[data-state=failed]", BOUND)
    assert.equal(await text(page, "#saving"), "Not saved")
    assert.match(await text(page, "#notice"), /^The last save failed: STORAGE_QUOTA/)
    await shoot(page, "not-saved")
    // The data is there all the same, and can be worked with.
    await example(page, "A newborn")
    assert.equal(await bornInMelk(page), before + 1)
    assert.notEqual(await page.getAttribute("#saving", "data-state"), "saved")
    await quota({})
    await page.click("#save-now").catch(() => {}) // the engine may have been faster
    await saved(page)
    assert.equal(await page.isHidden("#notice"), true)
    await page.reload()
    await ready(page)
    assert.equal(await bornInMelk(page), before + 1)
    await query(page, "SELECT count(*), sum(length(noise)) FROM ballast")
    assert.deepEqual(await cells(page, 0), ["40", "40000000"])
    await query(page, "DROP TABLE ballast")
    await saved(page)
    await browser.detach()
  },

  "a damaged file is not touched, can be taken away, and replaced": async ({ page }) => {
    // With another database on the page, nobody has this one.
    await page.setInputFiles("#file", { name: "orchard.db", mimeType: "application/octet-stream", buffer: await makeOrchard() })
    await page.waitForSelector("#saving[data-state=memory]", BOUND)
    const damaged = await page.evaluate(async () => {
      let directory = await navigator.storage.getDirectory()
      for (const name of ["lix-engine", "demo"]) directory = await directory.getDirectoryHandle(name)
      const file = await directory.getFileHandle("places.sqlite")
      const writable = await file.createWritable()
      await writable.write("This is no database. ".repeat(1_000))
      await writable.close()
      return (await file.getFile()).size
    })
    await page.reload()
    await page.waitForSelector("#take-raw", BOUND)
    assert.match(await text(page, "#problem"), /^CORRUPT \/ IMAGE_INVALID.*damaged and was not touched/s)
    const [download] = await Promise.all([page.waitForEvent("download", BOUND), page.click("#take-raw")])
    const bytes = readFileSync(await download.path())
    assert.equal(bytes.length, damaged)
    assert.match(bytes.toString("latin1"), /^(This is no database\. ){1000}$/)
    await page.click("#start-anew")
    await ready(page)
    assert.equal(await page.isHidden("#problem"), true)
    assert.equal(await bornInMelk(page), 3788)
    await page.reload()
    await ready(page)
    assert.equal(await rowCount(page), 135_233)
  },

  "the original can be had back": async ({ page }) => {
    await example(page, "A newborn")
    assert.equal(await bornInMelk(page), 3789)
    await page.evaluate(() => delete document.body.dataset.ready)
    await page.click("#reset")
    await ready(page)
    assert.equal(await bornInMelk(page), 3788)
    assert.equal(await text(page, "#saving"), "Saved")
  },

  "without file storage it works in memory, and says so": async (world) => {
    // Not a secure context, and so without the origin private file system and without locks.
    const page = await newPage(world)
    const url = new URL(world.url)
    url.hostname = PLAIN_HOST
    await page.goto(url.href)
    await ready(page)
    assert.equal(await page.evaluate(() => isSecureContext || "storage" in navigator), false)
    assert.match(await text(page, "#notice"), /in memory only: what you change is gone/)
    assert.equal(await text(page, "#saving"), "Not stored")
    assert.equal(await rowCount(page), 135_233)
    await example(page, "A newborn")
    assert.equal(await bornInMelk(page), 3789)
    assert.equal(await text(page, "#saving"), "Not stored")
    await shoot(page, "not-stored")
    await page.reload()
    await ready(page)
    assert.equal(await bornInMelk(page), 3788)
    await page.close()
  },

  "a SQLite file the visitor picks opens": async ({ page }) => {
    await page.setInputFiles("#file", { name: "orchard.db", mimeType: "application/octet-stream", buffer: await makeOrchard() })
    await page.waitForSelector("body[data-query=done]", BOUND)
    assert.match(await text(page, "#source"), /^orchard\.db/)
    assert.equal(await page.isHidden("#credit"), true)
    assert.equal(await text(page, "#saving"), "Not stored")
    await page.waitForFunction(() => document.querySelector('details[data-table="tree"] .count')?.textContent === "1,200", null, BOUND)
    await query(page, "SELECT kind, count(*) AS trees, round(avg(height), 2) AS height, sum(photo IS NULL) AS unseen FROM tree GROUP BY kind ORDER BY kind")
    assert.deepEqual(await cells(page, 0), ["apple", "400", "3.38", "200"])
    assert.deepEqual(await cells(page, 2), ["plum", "400", "3.57", "200"])
    await query(page, "SELECT * FROM tall ORDER BY id LIMIT 1")
    assert.deepEqual((await cells(page, 0)).slice(0, 2), ["50", "plum"])
  },

  "a file in WAL mode opens too, dropped on the page": async ({ page }) => {
    const wal = await makeOrchard()
    wal[18] = wal[19] = 2 // what `PRAGMA journal_mode = WAL` leaves in the header
    const data = await page.evaluateHandle((base64) => {
      const transfer = new DataTransfer()
      transfer.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], "wal.db"))
      return transfer
    }, wal.toString("base64"))
    for (const type of ["dragenter", "dragover", "drop"]) await page.dispatchEvent("body", type, { dataTransfer: data })
    await page.waitForSelector("body[data-query=done]", BOUND)
    assert.equal(await page.textContent("#problem"), "")
    assert.match(await text(page, "#source"), /^wal\.db/)
    assert.equal(await rowCount(page), 1_200)
  },

  "a file that is no database is refused, and the open one stays": async ({ page }) => {
    await page.setInputFiles("#file", { name: "letter.txt", mimeType: "text/plain", buffer: Buffer.from("Dear engine,\n".repeat(400)) })
    await page.waitForSelector("#problem:not([hidden])", BOUND)
    assert.match(await text(page, "#problem"), /^CORRUPT \/ IMAGE_INVALID.*letter\.txt was not opened/s)
    await query(page, "SELECT count(*) AS n FROM tree")
    assert.deepEqual(await cells(page, 0), ["1200"])
  },

  "200,000 row writes leave the page alone": async (world) => {
    const { page } = world
    const bound = await race(world, "bound")
    const bulk = await race(world, "bulk")
    console.log(`       as bound inserts: worker ${bound.worker.block} ms, main thread ${bound.main.block} ms`)
    console.log(`longest main-thread block during 200,000 row writes: worker ${bulk.worker.block} ms, main thread ${bulk.main.block} ms`)
    await shoot(page, "heavy-write")
    assert.ok(bulk.worker.block < LIMIT_MS, `worker: ${bulk.worker.block} ms`)
    assert.ok(bound.worker.block < LIMIT_MS, `worker, bound inserts: ${bound.worker.block} ms`)
    // The control: a probe that sees nothing would pass the lines above.
    assert.ok(bulk.main.block >= LIMIT_MS && bulk.main.block > 2 * bulk.worker.block, `the probe saw only ${bulk.main.block} ms on the main thread`)
    assert.ok(bulk.main.longTaskMs >= LIMIT_MS, "the browser's own records saw no long task on the main thread")
    assert.ok(bulk.worker.frames > bulk.main.frames, `worker drew ${bulk.worker.frames} frames, main ${bulk.main.frames}`)
  },

  "light, dark and narrow": async ({ page }) => {
    await open(page)
    await page.click("#run-both")
    await page.waitForSelector("body[data-race=done]", BOUND)
    await page.click('#grid [data-row="3"] [role=gridcell]:nth-child(2)')
    await page.mouse.move(5, 500)
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor)
    const light = await background()
    await shoot(page, "light")
    if (docs) await shoot(page, "../../docs/images/engine")
    await page.click("#theme")
    assert.notEqual(await background(), light)
    assert.equal(await page.getAttribute("html", "data-theme"), "dark")
    await page.mouse.move(5, 500)
    await shoot(page, "dark")
    await open(page)
    assert.equal(await page.getAttribute("html", "data-theme"), "dark", "the choice is remembered")
    await page.click("#theme")
    await page.setViewportSize({ width: 420, height: 900 })
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    assert.ok(overflow <= 0, `${overflow} px too wide for a phone`)
    await shoot(page, "narrow", { fullPage: true })
  },

  "everything that can be pressed has a name": async ({ page }) => {
    const nameless = await page.$$eval("button, input, select, textarea, summary, a, [role=grid]", (all) =>
      all.filter((item) => !(item.getAttribute("aria-label") || item.textContent.trim() || item.labels?.length)).map((item) => item.outerHTML),
    )
    assert.deepEqual(nameless, [])
  },

  "nothing was asked of another host, nothing failed": async ({ origin, requests, problems }) => {
    const plain = origin.replace("127.0.0.1", PLAIN_HOST)
    for (const url of requests) assert.ok(url.startsWith(origin) || url.startsWith(plain) || /^(data|blob):/.test(url), url)
    assert.deepEqual(problems, [])
  },
}

// ── What a visitor does and sees ───────────────────────────────────────────

/** Loads the page anew and waits until the data set is shown. */
async function open(page, url = page.url()) {
  await page.goto(url)
  await ready(page)
}

async function ready(page) {
  await page.waitForSelector("body[data-ready], #problem:not([hidden]), #saving[data-state=busy]", BOUND)
  assert.equal(await page.getAttribute("body", "data-ready"), "true", `${await text(page, "#notice")} ${await text(page, "#problem")}`)
}

/** Waits until the page says that everything is saved. */
async function saved(page) {
  await page.waitForSelector("#saving[data-state=saved]", BOUND)
}

/** How many live in Melk, where only this test and the example have children. */
async function bornInMelk(page) {
  await query(page, "SELECT population FROM place WHERE name = 'Melk' AND country = 'AT'")
  return Number((await cells(page, 0))[0])
}

async function query(page, sql, { fails = false } = {}) {
  await page.fill("#sql", sql)
  await page.press("#sql", "Control+Enter")
  await settled(page, fails)
}

async function example(page, label, { fails = false } = {}) {
  await page.click(`#examples button:text-is("${label}")`)
  await settled(page, fails)
}

async function settled(page, fails) {
  await page.waitForSelector("body[data-query=done]", BOUND)
  const problem = (await page.isHidden("#problem")) ? "" : await text(page, "#problem")
  assert.equal(problem !== "", fails, problem || "no error was shown")
}

/**
 * Both lanes once. Other programs on the machine can keep a browser from its core for any time, and
 * that is no block of ours; a block of ours comes every time. So a worker run beyond the limit is
 * printed and measured again. If the machine has more to do than cores to do it, no wall clock says
 * anything about the page; then the browser's trace tells what the longest task spent on a core.
 */
async function race({ page, context }, workload) {
  await page.selectOption("#workload", workload)
  let worker
  for (let attempt = 1; attempt <= 5; attempt++) {
    worker = await runLane(page, "worker")
    if (worker.block < LIMIT_MS && worker.longTaskMs < LIMIT_MS) break
    console.log(`       ${workload}, attempt ${attempt}: worker ${worker.block} ms, longest task ${worker.longTaskMs} ms; ${machineLoad()}`)
  }
  if (worker.block >= LIMIT_MS && loadavg()[0] > 2 * availableParallelism()) {
    const block = await longestTaskCpuMs(context.browser(), page, () => runLane(page, "worker"))
    console.log(`       ${workload}: the machine is overloaded (${machineLoad()}), so CPU time counts: longest task ${block} ms`)
    worker = { ...worker, block, longTaskMs: block }
  }
  assert.ok(worker.longTaskMs < LIMIT_MS, `a task of ${worker.longTaskMs} ms during the worker run (${workload})`)
  return { worker, main: await runLane(page, "main") }
}

async function runLane(page, kind) {
  await page.evaluate(() => (window.longTasks = []))
  await page.click(`#run-${kind}`)
  await page.waitForSelector("body[data-race=done]", BOUND)
  assert.equal(await page.getAttribute(`#lane-${kind}`, "data-state"), "done", await text(page, `#lane-${kind}`))
  const { longestBlockMs, frames } = await page.$eval(`#lane-${kind}`, (element) => ({ ...element.dataset }))
  const longTaskMs = await page.evaluate(() => Math.max(0, ...window.longTasks))
  return { block: Number(longestBlockMs), frames: Number(frames), longTaskMs }
}

async function rowCount(page) {
  return Number(await page.getAttribute("#grid", "data-rows"))
}

/** The cells of a row in view, once the table has drawn it. */
async function cells(page, row) {
  await page.locator(`#grid [data-row="${row}"]`).waitFor(BOUND)
  return page.locator(`#grid [data-row="${row}"] [role=gridcell]`).allTextContents()
}

// ── Databases made by SQLite's own build ───────────────────────────────────

async function makeOrchard() {
  const sqlite3 = await sqlite3InitModule()
  const db = new sqlite3.oo1.DB(":memory:", "c")
  db.exec(`
    CREATE TABLE tree (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, height REAL, planted TEXT, photo BLOB);
    CREATE VIEW tall AS SELECT * FROM tree WHERE height > 5.9;
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1200)
    INSERT INTO tree SELECT i, CASE i % 3 WHEN 0 THEN 'apple' WHEN 1 THEN 'pear' ELSE 'plum' END, 1 + (i % 51) / 10.0, date('2001-01-01', i || ' days'), CASE i % 2 WHEN 0 THEN zeroblob(i % 7 + 1) END FROM n;
  `)
  const image = sqlite3.capi.sqlite3_js_db_export(db)
  db.close()
  return Buffer.from(image)
}

async function readDatabase(image, queries) {
  const sqlite3 = await sqlite3InitModule()
  const db = new sqlite3.oo1.DB(":memory:", "c")
  const pointer = sqlite3.wasm.allocFromTypedArray(image)
  const flags = sqlite3.capi.SQLITE_DESERIALIZE_FREEONCLOSE | sqlite3.capi.SQLITE_DESERIALIZE_RESIZEABLE
  db.checkRc(sqlite3.capi.sqlite3_deserialize(db.pointer, "main", pointer, image.length, image.length, flags))
  const results = queries.map((sql) => db.selectArrays(sql))
  db.close()
  return results
}

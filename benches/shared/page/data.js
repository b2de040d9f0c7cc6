/** One table everywhere: integer, float, short text, nullable text, 16 bytes, 0 or 1. */

export const COLUMNS = "(id integer primary key, price real not null, name text not null, note text, hash blob not null, flag integer not null)"
export const NAMES = "id, price, name, note, hash, flag"
export const INSERT = `insert into item (${NAMES}) values (?, ?, ?, ?, ?, ?)`

export function rowAt(i) {
  return [i, i / 7, `item ${i}`, i % 3 ? `a note about ${i}` : null, new Uint8Array(16).fill(i), i % 2]
}

export async function emptyTable({ engine }) {
  await engine.exec("drop table if exists item")
  await engine.exec(`create table item ${COLUMNS}`)
}

export async function tableSums({ engine, rows }) {
  const sums = "count(*) as n, sum(id) as ids, sum(price) as prices, sum(length(name)) as names, sum(length(note)) as notes, group_concat(distinct hex(hash)) as hashes, sum(flag) as flags"
  return rows(await engine.exec(`select ${sums} from item`))
}

export function series(from, to) {
  return `with recursive series(i) as (select ${from} union all select i + 1 from series where i < ${to})`
}

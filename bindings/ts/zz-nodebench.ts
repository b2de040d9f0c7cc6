import { createMainMemoryEngine } from "/work/main/bindings/ts/src/index.ts"
import { encodeExec, decodeMessage, decodeExec } from "/work/main/bindings/ts/src/codec.ts"
import { decodeRows } from "/work/main/bindings/ts/src/rows.ts"
import { readFileSync } from "node:fs"
import { instantiate } from "/work/main/bindings/ts/src/wasm/lix_engine.js"
const { Shell } = instantiate(new WebAssembly.Module(readFileSync("/work/main/bindings/ts/src/wasm/lix_engine.wasm")))
let last: Uint8Array; const sh = new Shell((f: Uint8Array) => { last = f }, false)
const { createEngine } = await import("/work/main/bindings/ts/src/engine.ts")
const port: any = { postMessage(m: any) { sh.handle(new Uint8Array(m.frame), []); port.onmessage({ data: { v: 1, frame: last.buffer } }) }, onmessage: null }
const e = createEngine(port); await e.init()
await e.exec("create table item (id integer primary key, price real not null, name text not null, note text, hash blob not null, flag integer not null)")
const INSERT = "insert into item (id, price, name, note, hash, flag) values (?, ?, ?, ?, ?, ?)"
const SELECT = "select id, price, name, note, hash, flag from item where id = ?"
const rowAt = (i: number) => [i, i / 7, "item " + i, i % 3 ? "a note about " + i : null, new Uint8Array(16).fill(i), i % 2]
const opt = { cursor: false, batchRows: 0, batchBytes: 0, timeoutMs: 0, integers: "auto", invalidText: "replace", rowMode: "object" } as any
await e.exec("begin"); for (let i = 0; i < 1000; i++) await e.exec(INSERT, rowAt(i)); 
const N = 20000
function time(name: string, f: (i: number) => void) { let best = 1e9; for (let k = 0; k < 9; k++) { const t = performance.now(); for (let i = 0; i < N; i++) f(i); best = Math.min(best, performance.now() - t) } console.log(name.padEnd(34), (best / N * 1000).toFixed(2), "µs") }
time("encode insert", (i) => encodeExec(i + 1, INSERT, rowAt(i), opt))
time("rowAt", (i) => rowAt(i))
time("encode select", (i) => encodeExec(i + 1, SELECT, [i], opt))
const sel = new Uint8Array(encodeExec(7, SELECT, [5], opt).frame)
time("shell.handle select", () => sh.handle(sel, [])); const selAns = last!.slice()
const ins = new Uint8Array(encodeExec(7, "update item set price = ?, name = ? where id = 5", [1.5, "x"], opt).frame)
time("shell.handle update", () => sh.handle(ins, [])); const insAns = last!.slice()
const nothing = new Uint8Array(encodeExec(7, "select 1 where 0", [], opt).frame)
time("shell.handle select 1 where 0", () => sh.handle(nothing, []))
time("decodeMessage select", () => decodeMessage({ v: 1, frame: selAns.buffer }))
time(" + decodeExec", () => decodeExec(decodeMessage({ v: 1, frame: selAns.buffer })))
time(" + decodeRows", () => { const b = decodeExec(decodeMessage({ v: 1, frame: selAns.buffer })); decodeRows(b.batch!, b.columns, "object", opt) })
time("decode update", () => decodeExec(decodeMessage({ v: 1, frame: insAns.buffer })))
console.log("answer bytes", selAns.length, insAns.length, "request", sel.length, ins.length)
const dec = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }); const short = new TextEncoder().encode("item 1234")
time("TextDecoder 9 bytes", () => dec.decode(short))
let str = ""; time("fromCharCode loop 9 bytes", () => { let s = ""; for (let i = 0; i < short.length; i++) s += String.fromCharCode(short[i]!); str = s })

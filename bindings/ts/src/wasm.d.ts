/** The glue that `cargo xtask wasm` puts beside the wasm; this is all we use of it. */
declare module "*/lix_engine.js" {
  export function instantiate(module: WebAssembly.Module): {
    Shell: new (post: (frame: Uint8Array, attachments: Uint8Array[]) => void, conformance: boolean) => import("./pump.js").Shell
  }
}

/** The glue that `cargo xtask wasm` puts beside the wasm; this is all we use of it. */
declare module "*/lix_engine.js" {
  export function instantiate(module: WebAssembly.Module): {
    Shell: new (
      post: import("./pump.js").Post,
      conformance: boolean,
      storage?: import("./pump.js").ShellCalls["storage"],
      crash?: () => void,
      plugins?: import("./pump.js").ShellCalls["plugins"],
    ) => import("./pump.js").Shell
  }
}

//! crates/worker-wasm as `bindings/ts/src/wasm/lix_engine.{js,wasm}`.
//!
//! cargo decides whether anything is to be compiled; the steps after it run only when their input
//! has changed.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::run::{cargo, cmd, note, npm_tool, root, step, target_dir};
use crate::{glue, setup};

pub(crate) fn build() -> Result<()> {
    step("wasm", "cargo xtask wasm", || {
        setup::rust()?;
        setup::node_modules()?;
        cargo()
            .args(["build", "--package", PACKAGE, "--profile", "wasm", "--target"])
            .arg(setup::WASM_TARGET)
            .envs(&environment()?)
            .run()?;
        let built = target_dir().join(setup::WASM_TARGET).join("wasm").join(BUILT);
        finish(&built)
    })
}

/// What cargo needs to compile for wasm: the C compiler, and one SQLite for both targets.
pub(crate) fn environment() -> Result<Vec<(String, String)>> {
    let clang = setup::wasm_clang()?;
    let home = std::env::var("CARGO_HOME").or_else(|_| {
        std::env::var("HOME")
            .map(|home| format!("{home}/.cargo"))
            .context("neither CARGO_HOME nor HOME is set")
    })?;
    // Panic messages carry source paths; where somebody built is nobody's business, and equal
    // sources should give equal bytes.
    let rustflags =
        format!("--remap-path-prefix={}=. --remap-path-prefix={home}=cargo", root().display());
    Ok([
        ("CC_wasm32_unknown_unknown", clang.cc),
        ("AR_wasm32_unknown_unknown", clang.ar),
        ("CFLAGS_wasm32_unknown_unknown", WASM_CFLAGS.into()),
        ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", rustflags),
        ("SQLITE_WASM_RS_SOURCE_DIR", native_sqlite()?.to_string_lossy().into_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into())
}

/// The SQLite sources that the native build compiles. sqlite-wasm-rs brings an older copy.
fn native_sqlite() -> Result<PathBuf> {
    let metadata = cargo().args(["metadata", "--format-version", "1"]).read()?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let manifest = packages
        .iter()
        .find(|package| package["name"] == "libsqlite3-sys")
        .and_then(|package| package["manifest_path"].as_str())
        .context("libsqlite3-sys is not in the dependency graph")?;
    Ok(Path::new(manifest).with_file_name("sqlite3"))
}

/// wasm-bindgen, the factory, wasm-opt, and one look at whether the result starts.
fn finish(built: &Path) -> Result<()> {
    let key = input_hash(built)?;
    let work = target_dir().join("wasm-bindgen");
    let stamp = work.join("finished");
    let out = root().join("bindings/ts/src/wasm");
    let (wasm, js) = (out.join("lix_engine.wasm"), out.join("lix_engine.js"));
    let finished = std::fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == key);
    if finished && wasm.exists() && js.exists() {
        note("lix_engine.wasm is up to date");
        return Ok(());
    }

    note("wasm-bindgen");
    wasm_bindgen_cli_support::Bindgen::new()
        .input_path(built)
        .out_name("lix_engine")
        .web(true)?
        .typescript(false)
        .omit_default_module_path(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(&work)?;
    let glue = glue::factory(&std::fs::read_to_string(work.join("lix_engine.js"))?)?;
    let (small, factory) = (work.join("lix_engine.wasm"), work.join("lix_engine.mjs"));
    std::fs::write(&factory, glue)?;
    npm_tool("wasm-opt")
        .args(WASM_OPT)
        .arg(work.join("lix_engine_bg.wasm"))
        .arg("--output")
        .arg(&small)
        .run()?;
    cmd("node").arg("xtask/scripts/wasm-starts.mjs").arg(&small).arg(&factory).run()?;

    std::fs::create_dir_all(&out)?;
    std::fs::copy(&small, &wasm)?;
    std::fs::copy(&factory, &js)?;
    std::fs::write(&stamp, key)?;
    Ok(())
}

fn input_hash(built: &Path) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    std::fs::read(built).with_context(|| format!("no {}", built.display()))?.hash(&mut hasher);
    (WASM_OPT, include_str!("glue.rs"), include_str!("../Cargo.toml")).hash(&mut hasher);
    std::fs::read(root().join("node_modules/binaryen/package.json"))?.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

const PACKAGE: &str = "lix-engine-worker-wasm";
const BUILT: &str = "lix_engine_worker_wasm.wasm";

/// -Os: SQLite is 440 kB gzipped instead of 575 (-O2) or 603 (-O3), and over inserts, index builds,
/// grouping, sorting, JSON and point queries no slower than either. The features are what Safari 15
/// and Chrome 100 have and rustc assumes anyway; older clangs have to be told.
const WASM_CFLAGS: &str = "-Os -mbulk-memory -mnontrapping-fptoint -msign-ext -mmutable-globals";

const WASM_OPT: [&str; 8] = [
    "-O3",
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

//! What a page downloads before its first query, and whether it has grown.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use crate::npm;
use crate::run::{cmd, green, note, red, root, say, step};

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    Print,
    Check,
    Bless,
}

pub(crate) fn sizes(mode: Mode) -> Result<()> {
    npm::built()?;
    step("sizes", "cargo xtask sizes --check", || {
        let sizes = measure(&npm::dist())?;
        print(&sizes);
        let budget_path = root().join(BUDGET);
        match mode {
            Mode::Print => Ok(()),
            Mode::Bless => {
                std::fs::write(&budget_path, bless(&sizes))?;
                note(&format!("{BUDGET} now says so"));
                Ok(())
            }
            Mode::Check => {
                let budget = std::fs::read_to_string(&budget_path).with_context(|| {
                    format!("no {BUDGET}; make one with `cargo xtask sizes --bless`")
                })?;
                let grown = grown(&sizes, &serde_json::from_str(&budget)?)?;
                ensure!(
                    grown.is_empty(),
                    "grown above the budget:\n{}\nif that is worth it: cargo xtask sizes --bless",
                    grown.join("\n")
                );
                Ok(())
            }
        }
    })
}

const BUDGET: &str = "xtask/sizes.json";

/// For all that `createWorkerEngine` makes a page load, gzipped.
const TARGET_BYTES: u64 = 700_000;

/// How much may be added before somebody has to say so: another clang is no growth of ours.
const TOLERANCE: f64 = 0.02;

#[derive(Debug, Clone, PartialEq)]
struct Size {
    name: String,
    raw: u64,
    gzip: u64,
    brotli: u64,
    /// Whether a page with the worker engine loads it.
    loaded: bool,
}

fn measure(dist: &Path) -> Result<Vec<Size>> {
    // Node has both compressors.
    let measured = cmd("node").arg("xtask/scripts/sizes.mjs").arg(dist).read()?;
    let measured: Value = serde_json::from_str(&measured)?;
    let number = |value: &Value| value.as_u64().context("a size is no number");
    let mut sizes = Vec::new();
    for file in measured.as_array().context("no list of sizes")? {
        let name = file["name"].as_str().context("a file has no name")?.to_owned();
        let loaded = file["loaded"].as_bool().context("a file is neither loaded nor not")?;
        let (raw, gzip) = (number(&file["raw"])?, number(&file["gzip"])?);
        sizes.push(Size { name, raw, gzip, brotli: number(&file["brotli"])?, loaded });
    }
    if !sizes.iter().any(|size| size.name.ends_with(".wasm")) {
        bail!("no wasm in {}", dist.display());
    }
    Ok(sizes)
}

fn total(sizes: &[Size]) -> Size {
    let loaded = || sizes.iter().filter(|size| size.loaded);
    Size {
        name: "total".into(),
        raw: loaded().map(|size| size.raw).sum(),
        gzip: loaded().map(|size| size.gzip).sum(),
        brotli: loaded().map(|size| size.brotli).sum(),
        loaded: true,
    }
}

fn print(sizes: &[Size]) {
    say(&format!("  {:<34} {:>10} {:>10} {:>10}", "bytes", "raw", "gzip", "brotli"));
    let line = |size: &Size, remark: &str| {
        let Size { name, raw, gzip, brotli, .. } = size;
        say(&format!("  {name:<34} {raw:>10} {gzip:>10} {brotli:>10}  {remark}"));
    };
    for size in sizes {
        line(size, if size.loaded { "" } else { "(not in the total)" });
    }
    let total = total(sizes);
    line(&total, "");
    let met = total.gzip <= TARGET_BYTES;
    let verdict = if met { green("met") } else { red("missed") };
    say(&format!("  target: at most {TARGET_BYTES} gzip in all: {verdict}"));
}

fn bless(sizes: &[Size]) -> String {
    let budget: Map<String, Value> =
        groups(sizes).into_iter().map(|(name, gzip)| (name.into(), gzip.into())).collect();
    let budget = serde_json::json!({ "gzip_bytes": budget });
    format!("{}\n", serde_json::to_string_pretty(&budget).expect("a map of numbers is JSON"))
}

fn grown(sizes: &[Size], budget: &Value) -> Result<Vec<String>> {
    let mut grown = Vec::new();
    for (name, gzip) in groups(sizes) {
        let allowed = budget["gzip_bytes"][name].as_u64();
        let allowed = allowed.with_context(|| format!("the budget says nothing of {name}"))?;
        if gzip as f64 > allowed as f64 * (1.0 + TOLERANCE) {
            grown.push(format!("  {name}: {gzip} bytes, budget {allowed}"));
        }
    }
    Ok(grown)
}

/// What has a budget: the parts a page downloads, and what some add to it: the dialect, and what runs plugins.
fn groups(sizes: &[Size]) -> [(&'static str, u64); 5] {
    let gzip = |of: &dyn Fn(&Size) -> bool| {
        sizes.iter().filter(|size| of(size)).map(|size| size.gzip).sum::<u64>()
    };
    let wasm = |size: &Size| size.name.ends_with(".wasm");
    [
        ("javascript", gzip(&|size| size.loaded && !wasm(size))),
        ("kysely", gzip(&|size| size.name.starts_with("kysely/"))),
        ("plugins", gzip(&|size| size.name.starts_with("plugins/"))),
        ("total", total(sizes).gzip),
        ("wasm", gzip(&wasm)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(name: &str, gzip: u64, loaded: bool) -> Size {
        Size { name: name.into(), raw: gzip * 2, gzip, brotli: gzip, loaded }
    }

    #[test]
    fn a_blessed_build_is_within_its_budget_and_a_larger_one_is_not() {
        let sizes = [size("a.wasm", 100_000, true), size("kysely/index.js", 1_000, false)];
        let budget: Value = serde_json::from_str(&bless(&sizes)).unwrap();
        assert!(grown(&sizes, &budget).unwrap().is_empty());

        let larger = [size("a.wasm", 100_000, true), size("kysely/index.js", 1_100, false)];
        assert_eq!(grown(&larger, &budget).unwrap(), ["  kysely: 1100 bytes, budget 1000"]);
    }

    #[test]
    fn a_file_that_a_page_newly_loads_is_growth() {
        let sizes = [size("a.wasm", 100_000, true), size("a.js", 1_000, true)];
        let budget: Value = serde_json::from_str(&bless(&sizes)).unwrap();
        let more = [sizes[0].clone(), sizes[1].clone(), size("new.js", 100, true)];
        assert_eq!(grown(&more, &budget).unwrap(), ["  javascript: 1100 bytes, budget 1000"]);
    }

    #[test]
    fn a_budget_that_leaves_something_out_is_refused() {
        let budget = serde_json::json!({ "gzip_bytes": { "wasm": 1 } });
        assert!(grown(&[size("a.wasm", 1, true)], &budget).is_err());
    }

    #[test]
    fn the_total_is_what_a_page_loads() {
        let sizes = [size("a.wasm", 5, true), size("b.js", 2, true), size("kysely/c.js", 9, false)];
        assert_eq!(total(&sizes).gzip, 7);
    }
}

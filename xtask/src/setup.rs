//! What this repository needs beside Rust, a C compiler, Node.js and Python: found if it is there,
//! installed if this is Debian and we may, explained otherwise. Fast and silent when all is there.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::run::{cmd, note, root, step};

/// Everything, for `cargo xtask setup` and as the first step of `test`.
pub(crate) fn all() -> Result<()> {
    step("setup", "cargo xtask setup", || {
        rust()?;
        let clang = wasm_clang()?;
        let chromium = chromium()?;
        let firefox = firefox()?;
        node_modules()?;
        note(&format!("C for wasm: {} and {}", clang.cc, clang.ar));
        note(&format!("browsers: {}, {}", chromium.display(), firefox.display()));
        Ok(())
    })
}

/// The wasm target and the components that `tidy` calls, for the pinned toolchain.
pub(crate) fn rust() -> Result<()> {
    let sysroot = cmd("rustc").args(["--print", "sysroot"]).read()?;
    let sysroot = Path::new(sysroot.trim());
    let install = |what: &str, name: &str, present: PathBuf| -> Result<()> {
        if present.exists() {
            return Ok(());
        }
        if !cmd("rustup").arg("--version").succeeds() {
            bail!("this Rust has no {name} and there is no rustup to add it; please install it");
        }
        cmd("rustup").args([what, "add", name]).run()
    };
    install("target", WASM_TARGET, sysroot.join("lib/rustlib").join(WASM_TARGET))?;
    install("component", "rustfmt", sysroot.join("bin/rustfmt"))?;
    install("component", "clippy", sysroot.join("bin/clippy-driver"))
}

/// A clang that can write wasm, and the archiver that goes with it.
#[derive(Clone)]
pub(crate) struct WasmClang {
    pub(crate) cc: String,
    pub(crate) ar: String,
}

pub(crate) fn wasm_clang() -> Result<WasmClang> {
    if let Some(found) = find_wasm_clang() {
        return Ok(found);
    }
    // The newest Debian has, or whatever it calls plain clang.
    if apt_install(&["clang-22", "llvm-22"]).is_err() {
        apt_install(&["clang", "llvm"])?;
    }
    find_wasm_clang().context("the clang that apt installed cannot compile for wasm32")
}

/// The Chromium that tests and the demo drive.
pub(crate) fn chromium() -> Result<PathBuf> {
    if let Some(found) = find_chromium() {
        return Ok(found);
    }
    apt_install(&["chromium", "fonts-dejavu-core"])?;
    look_for_chromium().context("apt installed chromium, but it is not where it should be")
}

/// The Firefox that runs the checks of OPFS once more.
pub(crate) fn firefox() -> Result<PathBuf> {
    if let Some(found) = look_for_firefox() {
        return Ok(found);
    }
    // Debian has the one with long support, Ubuntu only the other.
    if apt_install(&["firefox-esr"]).is_err() {
        apt_install(&["firefox"])?;
    }
    look_for_firefox().context("apt installed Firefox, but it is not where it should be")
}

/// The Chromium that is there, looked for once.
pub(crate) fn find_chromium() -> Option<PathBuf> {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Some(found.clone());
    }
    let found = look_for_chromium()?;
    Some(FOUND.get_or_init(|| found).clone())
}

/// The npm packages that package-lock.json names.
pub(crate) fn node_modules() -> Result<()> {
    let version = cmd("node").arg("--version").read().context(NO_NODE)?;
    let major = version.trim().trim_start_matches('v').split('.').next();
    let major: u32 = major.and_then(|major| major.parse().ok()).context("odd node version")?;
    ensure!(major >= 20, "{NO_NODE}; this one is {}", version.trim());

    let wanted = std::fs::read_to_string(root().join("package-lock.json"))?;
    let installed = std::fs::read_to_string(root().join("node_modules/.package-lock.json"));
    let complete = installed.is_ok_and(|installed| holds_all(&installed, &wanted).unwrap_or(false));
    if complete {
        return Ok(());
    }
    cmd("npm").args(["ci", "--no-audit", "--no-fund"]).run()
}

/// One Python package, in a folder that holds nothing else and that PYTHONPATH can name.
pub(crate) fn python_package(requirement: &str, folder: &Path) -> Result<()> {
    let stamp = folder.join(".installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == requirement) {
        return Ok(());
    }
    if !cmd("python3").args(["-m", "pip", "--version"]).succeeds() {
        apt_install(&["python3", "python3-pip"])?;
    }
    let pip = cmd("python3").args(["-m", "pip", "install", "--quiet", "--upgrade", "--target"]);
    pip.arg(folder).arg(requirement).env("PIP_ROOT_USER_ACTION", "ignore").run()?;
    Ok(std::fs::write(stamp, requirement)?)
}

/// A Python that can make virtual environments. Debian keeps that in a package of its own.
pub(crate) fn python_venv() -> Result<()> {
    if cmd("python3").args(["-c", "import ensurepip, venv"]).succeeds() {
        return Ok(());
    }
    apt_install(&["python3", "python3-venv"])
}

pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// Whether everything the lock file wants on every platform is installed in the version it wants.
/// Compared by content: npm does not write the two files in a fixed order.
fn holds_all(installed: &str, wanted: &str) -> Result<bool> {
    let installed: Value = serde_json::from_str(installed)?;
    let wanted: Value = serde_json::from_str(wanted)?;
    let packages = wanted["packages"].as_object().context("package-lock.json has no packages")?;
    let differs = packages.iter().find(|(path, package)| {
        !path.is_empty()
            && package["optional"] != true
            && package["devOptional"] != true
            && installed["packages"][path.as_str()]["version"] != package["version"]
    });
    if let Some((path, _)) = differs {
        note(&format!("{path} is not installed as package-lock.json has it"));
    }
    Ok(differs.is_none())
}

fn find_wasm_clang() -> Option<WasmClang> {
    let suffixes = (16..=22).rev().map(|version| format!("-{version}")).chain([String::new()]);
    // Apple's clang has no wasm back end; only a try tells. /opt/homebrew is where brew puts LLVM.
    let prefixes = ["", "/opt/homebrew/opt/llvm/bin/", "/usr/local/opt/llvm/bin/"];
    suffixes
        .flat_map(|suffix| prefixes.map(|prefix| (prefix, suffix.clone())))
        .map(|(prefix, suffix)| WasmClang {
            cc: format!("{prefix}clang{suffix}"),
            ar: format!("{prefix}llvm-ar{suffix}"),
        })
        .find(|clang| {
            let compiles = ["--target=wasm32", "-x", "c", "-c", "/dev/null", "-o", "/dev/null"];
            cmd(&clang.cc).args(compiles).succeeds() && cmd(&clang.ar).arg("--version").succeeds()
        })
}

fn look_for_chromium() -> Option<PathBuf> {
    if let Some(chosen) = std::env::var_os("CHROMIUM") {
        return Some(chosen.into());
    }
    let known = || CHROMIUM_PATHS.map(PathBuf::from).into_iter().find(|path| path.is_file());
    in_path(&CHROMIUM_NAMES).or_else(known)
}

fn look_for_firefox() -> Option<PathBuf> {
    if let Some(chosen) = std::env::var_os("FIREFOX") {
        return Some(chosen.into());
    }
    in_path(&["firefox", "firefox-esr"])
}

fn in_path(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .flat_map(|dir| names.iter().map(move |name| dir.join(name)))
        .find(|candidate| candidate.is_file())
}

fn apt_install(packages: &[&str]) -> Result<()> {
    let listed = packages.join(" ");
    ensure!(
        cmd("apt-get").arg("--version").succeeds(),
        "{listed}: not found, and this is not Debian; please install it by hand"
    );
    let root_user = cmd("id").arg("-u").read()?.trim() == "0";
    let apt = || {
        let apt = if root_user { cmd("apt-get") } else { cmd("sudo").arg("apt-get") };
        apt.env("DEBIAN_FRONTEND", "noninteractive")
    };
    // One of many sources may be down; whether that matters, the installation tells.
    if let Err(error) = apt().args(["update", "-q"]).run() {
        note(&format!("{error:#}"));
    }
    let install = apt().args(["install", "-q", "-y", "--no-install-recommends"]);
    install.args(packages).run().with_context(|| format!("please install: {listed}"))
}

const NO_NODE: &str = "please install Node.js 20 or newer, with npm";

const CHROMIUM_NAMES: [&str; 4] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

const CHROMIUM_PATHS: [&str; 2] = [
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"{ "packages": {
        "": { "version": "0" },
        "node_modules/a": { "version": "1.0.0" },
        "node_modules/only-on-windows": { "version": "1.0.0", "optional": true } } }"#;

    #[test]
    fn optional_packages_need_not_be_installed() {
        let installed = r#"{ "packages": { "node_modules/a": { "version": "1.0.0" } } }"#;
        assert!(holds_all(installed, LOCK).unwrap());
    }

    #[test]
    fn another_version_or_none_is_not_installed() {
        let other = r#"{ "packages": { "node_modules/a": { "version": "0.9.0" } } }"#;
        assert!(!holds_all(other, LOCK).unwrap());
        assert!(!holds_all(r#"{ "packages": {} }"#, LOCK).unwrap());
    }
}

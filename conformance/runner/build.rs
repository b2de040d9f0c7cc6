//! Compiles the schemas of case files, reports and adapters' lines to Rust, and packs the suite into the program. Needs no `protoc`.

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../v1");

    let descriptors = protox::compile(["case.proto", "report.proto", "host.proto"], ["../v1"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    fs::write(out.join("conformance.binpb"), descriptors.encode_to_vec())?;

    prost_build::Config::new().disable_comments(["."]).btree_map(["."]).compile_fds(descriptors)?;

    pack(&out.join("suite.bin"))
}

/// Everything of the suite that a run reads, one after the other: name, size, bytes.
fn pack(to: &Path) -> Result<(), Box<dyn Error>> {
    // The pages with rules, as suite::INDEXES has them.
    let mut files: Vec<PathBuf> = [
        "../../docs/protocol/anchors.md",
        "../../docs/sql-rules.md",
        "../../docs/persistence.md",
        "../../docs/plugins.md",
        "../host-adapters.md",
    ]
    .map(PathBuf::from)
    .into();
    for file in &files {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    for dir in ["../cases", "../host-cases", "../fixtures", "../v1", "../requirements", "../slt"] {
        println!("cargo::rerun-if-changed={dir}");
        collect(Path::new(dir), &mut files)?;
    }
    files.sort();
    let mut packed = Vec::new();
    for file in files {
        let bytes = fs::read(&file)?;
        let name = match file.strip_prefix("../..") {
            Ok(name) => name.to_path_buf(),
            Err(_) => Path::new("conformance").join(file.strip_prefix("..")?),
        };
        let name = name.to_str().ok_or("a file's name is no text")?.replace('\\', "/");
        write!(packed, "{name}\n{}\n", bytes.len())?;
        packed.extend(bytes);
    }
    fs::write(to, packed)?;
    Ok(())
}

fn collect(dir: &Path, into: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, into)?;
        } else if !path.extension().is_some_and(|extension| extension == "md" || extension == "py")
        {
            into.push(path);
        }
    }
    Ok(())
}

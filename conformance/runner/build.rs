//! Compiles the schema of case files and reports to Rust. Needs no `protoc`.

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=../v1");

    let descriptors = protox::compile(["case.proto", "report.proto"], ["../v1"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("conformance.binpb"), descriptors.encode_to_vec())?;

    prost_build::Config::new().disable_comments(["."]).btree_map(["."]).compile_fds(descriptors)?;
    Ok(())
}

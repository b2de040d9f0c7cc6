//! Compiles `proto/engine.proto` to Rust in the build output. Needs no `protoc`.

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto/engine.proto");

    let descriptors = protox::compile(["proto/engine.proto"], ["proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("engine.binpb"), descriptors.encode_to_vec())?;

    prost_build::Config::new()
        .bytes([
            ".lix.engine.v1.ColumnData",
            ".lix.engine.v1.Value.blob",
            ".lix.engine.v1.InitRequest.image",
            ".lix.engine.v1.Plugin.inline_code",
        ])
        // Comments in the proto are a manual in prose, not rustdoc with doctests.
        .disable_comments(["."])
        .compile_fds(descriptors)?;
    Ok(())
}

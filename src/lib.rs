//! The Lix Engine protocol, generated from `proto/engine.proto`; the comments there are the manual.
#![allow(missing_docs, reason = "the manual is in the .proto")]

include!(concat!(env!("OUT_DIR"), "/lix.engine.v1.rs"));

/// The contract as an encoded `google.protobuf.FileDescriptorSet`, for tools that work by reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/engine.binpb"));

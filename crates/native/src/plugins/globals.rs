//! What plugins find besides the language: the part of a browser's worker that has nothing to do
//! with pages. `globals.js` is its outside, written in JavaScript; here is what it calls.

use std::borrow::Cow;
use std::io::Write as _;

use rquickjs::{Ctx, Exception, Function, Object, TypedArray};

use super::realm::{bytes, text};
use crate::platform;

pub(super) fn install(ctx: &Ctx<'_>) -> rquickjs::Result<()> {
    let native = Object::new(ctx.clone())?;
    native.set("encode", Function::new(ctx.clone(), encode)?)?;
    native.set("decode", Function::new(ctx.clone(), decode)?)?;
    native.set("incomplete", Function::new(ctx.clone(), incomplete)?)?;
    native.set("random", Function::new(ctx.clone(), random)?)?;
    native.set("log", Function::new(ctx.clone(), log)?)?;
    let define: Function<'_> = ctx.eval(include_str!("globals.js"))?;
    define.call((native,))
}

/// UTF-8 of a string without lone surrogates.
fn encode<'js>(
    ctx: Ctx<'js>,
    string: rquickjs::String<'js>,
) -> rquickjs::Result<TypedArray<'js, u8>> {
    TypedArray::new_copy(ctx, text(string)?)
}

fn decode<'js>(
    ctx: Ctx<'js>,
    array: TypedArray<'js, u8>,
    is_fatal: bool,
) -> rquickjs::Result<rquickjs::String<'js>> {
    // SAFETY: the string below is a copy, and no JavaScript runs before it is made.
    let bytes = unsafe { array.as_bytes() }.unwrap_or_default();
    let string = match String::from_utf8_lossy(bytes) {
        Cow::Owned(_) if is_fatal => {
            return Err(Exception::throw_type(&ctx, "The encoded data was not valid utf-8"));
        }
        string => string,
    };
    rquickjs::String::from_str(ctx, &string)
}

/// How many bytes at the end begin a character that is not complete.
fn incomplete(array: TypedArray<'_, u8>) -> usize {
    let bytes = bytes(&array);
    let tail = bytes.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
    let is_begun = std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none());
    if is_begun { tail.len() } else { 0 }
}

fn random(ctx: Ctx<'_>, len: usize) -> rquickjs::Result<TypedArray<'_, u8>> {
    let mut bytes = vec![0; len];
    platform::random(&mut bytes);
    TypedArray::new_copy(ctx, bytes)
}

fn log(line: rquickjs::String<'_>) -> rquickjs::Result<()> {
    // A log that nobody reads must not stop anybody.
    let _ = writeln!(std::io::stderr(), "lix-engine: plugin: {}", text(line)?);
    Ok(())
}

//! The one door. Everything this repository can do is `cargo xtask COMMAND`, on a machine that has
//! Rust, a C compiler, Node.js ≥ 20 with npm, and Python; what else a command needs, it installs
//! (Debian as root or with sudo) or says how to.
//!
//! What is absent: no command depends on another having run before, and none skips a part that is
//! missing; a missing part is a failure.

mod bench;
#[cfg(test)]
mod boundaries;
mod codegen;
mod conformance;
mod crash;
mod demo;
mod examples;
mod glue;
mod installed;
mod manual;
mod mutants;
mod npm;
mod properties;
mod run;
mod schema;
mod serve;
mod setup;
mod sizes;
mod soak;
mod test;
mod tidy;
mod wasm;

use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
usage: cargo xtask COMMAND

  demo [--check] [--port N]   build, serve and open the demo page; --check drives it headless
  test                        install what is missing and run everything (`ci` is the same)

  setup                       install what is missing: wasm target, clang, browsers, npm packages
  proto                       lint engine.proto, check its format, compare with the released image
  codegen [--check]           TypeScript messages from engine.proto, types of the tables of a lix, the script that runs
                              plugins natively; --check only compares
  manual [--check]            docs/protocol/messages from the comments of engine.proto; part of codegen
  tidy                        formatting, clippy, forbidden words
  wasm                        bindings/ts/src/wasm/ from crates/worker-wasm
  build-ts                    the npm package in bindings/ts, ready to pack
  sizes [--check|--bless]     size of what a page loads, against the committed budget
  conformance [--impl NAME…]  the conformance suite on all, or the named, implementations
  conformance --from-empty-folder
                              the suite as others get it: installed, as npm package, Action and container file
  mutants [NAME…]             mistakes in the engine, each caught by the conformance cases that name it; --check only
                              looks whether they still fit, --write-table writes conformance/mutants/README.md
  packaging                   the packed npm package in Vite, webpack, a plain page and Node
  examples                    the programs that README.md and docs/persistence.md show
  fuzz-smoke                  a bounded run of every fuzz target
  crash [--cuts N] [--seed S] power cuts by simulation; --mutant NAME or --mutants: mistakes are caught
  properties [--sequences N] [--seed S]
                              random work on a lix, compared with a model after every statement
  soak browser [--cycles N]   reload, back/forward cache, kill: N times, in Chromium, under write load
  bench NAME [ARGS…]          run benches/NAME, e.g. `bench transport --quick`
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            run::report_failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[&str]) -> Result<()> {
    match args {
        ["setup"] => setup::all(),
        ["proto"] => codegen::proto(),
        ["codegen"] => codegen::all(codegen::Mode::Write),
        ["codegen", "--check"] => codegen::all(codegen::Mode::Check),
        ["manual"] => manual::manual(codegen::Mode::Write),
        ["manual", "--check"] => manual::manual(codegen::Mode::Check),
        ["tidy"] => tidy::tidy(),
        ["wasm"] => wasm::build(),
        ["build-ts"] => npm::build_package(),
        ["sizes"] => sizes::sizes(sizes::Mode::Print),
        ["sizes", "--check"] => sizes::sizes(sizes::Mode::Check),
        ["sizes", "--bless"] => sizes::sizes(sizes::Mode::Bless),
        ["conformance", "--from-empty-folder"] => installed::check(),
        ["conformance", rest @ ..] => conformance::run(&conformance::implementations(rest)?),
        ["packaging"] => npm::packaging(),
        ["examples"] => examples::examples(),
        ["mutants", rest @ ..] => mutants::mutants(rest),
        ["crash", rest @ ..] => crash::crash(rest),
        ["properties", rest @ ..] => properties::properties(rest),
        ["fuzz-smoke"] => test::fuzz_smoke(),
        ["soak", what, args @ ..] => soak::soak(what, args),
        ["bench", name, args @ ..] => bench::bench(name, args),
        ["demo", rest @ ..] => demo::demo(demo::Options::parse(rest)?),
        ["test" | "ci"] => test::everything(),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("unknown command: cargo xtask {}\n\n{HELP}", other.join(" ")),
    }
}

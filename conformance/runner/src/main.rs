//! `conformance`: the command line around the runner.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use lix_engine_conformance::case::schema::case::Level;
use lix_engine_conformance::case::{self, Loaded};
use lix_engine_conformance::implementation::{self, Config};
use lix_engine_conformance::known::KnownFailures;
use lix_engine_conformance::run::{self, Finished, Options, Refused};
use lix_engine_conformance::{edit, proto, report};

const HELP: &str = "\
Drives an engine that speaks lix.engine.v1 through the case files and says where it breaks the contract.

conformance run --impl IMPL [OPTIONS] [PATTERN…]     run cases
conformance list [OPTIONS] [PATTERN…]                check the case files and list the selected ones
conformance coverage                                 list rules of the manual without a case
conformance fmt [--check]                            format the case files

IMPL is a file impl.json, or stdio:COMMAND ARGS, tcp://HOST:PORT, ws://HOST:PORT/PATH, browser:PACKAGE-DIR.
PATTERN matches case ids: * inside one part, ** over several; values/** or values/text/nul.

Selection   --profile NAME  --run PATTERN  --skip PATTERN  --since 1.N  --level REQUIRED|RECOMMENDED|OPTIONAL
            --format ESM|WASM|BUILTIN  --shard I/N  --list
Judgement   --require CAPABILITY  --strict  --known-failures FILE  --update-known
Running     --jobs N  --shuffle SEED  --timeout-ms N  --time-scale X  --cases DIR  --bless
Output      --junit FILE  --json FILE  --trace FILE  --quiet

Exit status: 0 all required passed, 1 failures or stale entries, 2 usage or unreadable cases, 3 the implementation did
not start, 4 a fault of the runner, 5 nothing selected or nothing ran.
";

fn main() -> ExitCode {
    match try_main() {
        Ok(code) => ExitCode::from(code),
        Err(why) => {
            eprintln!("conformance: {why}");
            ExitCode::from(USAGE)
        }
    }
}

const USAGE: u8 = 2;
const NOT_STARTED: u8 = 3;
const HARNESS: u8 = 4;
const NOTHING: u8 = 5;

#[derive(Default)]
struct Args {
    options: Options,
    implementation: Option<String>,
    profiles: Vec<String>,
    cases: Option<PathBuf>,
    known: Option<PathBuf>,
    junit: Option<PathBuf>,
    json: Option<PathBuf>,
    jobs: Option<usize>,
    list: bool,
    update_known: bool,
    check: bool,
    quiet: bool,
}

fn try_main() -> Result<u8, String> {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    if ["", "-h", "--help", "help"].contains(&command.as_str()) {
        print!("{HELP}");
        return Ok(if command.is_empty() { USAGE } else { 0 });
    }
    let mut args = parse(words)?;
    let root = match &args.cases {
        Some(root) => root.clone(),
        None => find_up("conformance/cases").ok_or_else(|| {
            "no conformance/cases in this directory or above it; say --cases".to_owned()
        })?,
    };
    match command.as_str() {
        "fmt" => return format(&root, args.check),
        "run" | "list" | "coverage" => {}
        other => return Err(format!("unknown command {other:?}; see --help")),
    }
    let all = case::load_all(&root)?;
    if command == "coverage" {
        return coverage(&root, &all);
    }
    args.options.profile = profile(&root, &args.profiles)?;
    for capability in &args.options.require {
        proto::enum_number("Capability", capability)?;
    }
    if command == "list" || args.list {
        let selected = run::select(&all, &args.options);
        for loaded in &selected {
            println!("{}", loaded.id);
        }
        eprintln!("{} cases", selected.len());
        return Ok(if selected.is_empty() { NOTHING } else { 0 });
    }
    let spec =
        args.implementation.clone().ok_or_else(|| "--impl is missing; see --help".to_owned())?;
    let config = implementation::resolve(&spec)?;
    args.options.jobs = args.jobs.or(config.jobs).unwrap_or_else(|| {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(4)
    });
    execute(&config, &args, &all)
}

fn execute(config: &Config, args: &Args, all: &[Loaded]) -> Result<u8, String> {
    let known_path = args.known.clone().or_else(|| config.known_failures.clone());
    let known_text = match &known_path {
        Some(path) => {
            std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?
        }
        None => String::new(),
    };
    let known = KnownFailures::parse(&known_text, &run::today());
    let selective = !args.options.run.is_empty()
        || !args.options.skip.is_empty()
        || args.options.profile.is_some()
        || args.options.shard.is_some()
        || args.options.level.is_some()
        || args.options.since.is_some()
        || args.options.format.is_some();
    if args.update_known && (selective || known_path.is_none()) {
        return Err("--update-known needs a list and works on whole runs only".to_owned());
    }
    if args.options.bless
        && let Some(code) = refuse_to_bless(config, args, all, &known)?
    {
        return Ok(code);
    }

    let finished = match run::run(config, &args.options, all, &known) {
        Ok(finished) => finished,
        Err(refused) => return refusal(&refused),
    };
    let spec = args.implementation.as_deref().unwrap_or_default();
    let text = report::human(&finished, spec);
    if args.quiet {
        let tail: Vec<&str> = text.lines().rev().take(2).collect();
        println!("{}\n{}", tail[1], tail[0]);
    } else {
        print!("{text}");
    }
    let save = |path: &Option<PathBuf>, text: String| match path {
        Some(path) => {
            std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
        }
        None => Ok(()),
    };
    save(&args.junit, report::junit(&finished))?;
    save(&args.json, report::json(&finished))?;
    if args.update_known {
        save(&known_path, edit::update_known(&known_text, &run::today(), &finished.report))?;
    }
    if args.options.bless {
        bless(&finished)?;
    }
    Ok(if finished.harness_failed {
        HARNESS
    } else if finished.report.totals.unwrap_or_default().failed > 0 {
        1
    } else {
        0
    })
}

/// Results may only be written down while everything else is in order.
fn refuse_to_bless(
    config: &Config,
    args: &Args,
    all: &[Loaded],
    known: &KnownFailures,
) -> Result<Option<u8>, String> {
    if args.options.run.is_empty() {
        return Err("--bless needs the cases it is for".to_owned());
    }
    let others = Options {
        run: Vec::new(),
        skip: args.options.run.clone(),
        profile: None,
        bless: false,
        progress: args.options.progress,
        jobs: args.options.jobs,
        ..Options::default()
    };
    match run::run(config, &others, all, known) {
        Ok(finished) => {
            let failed = finished.report.totals.unwrap_or_default().failed;
            if failed > 0 {
                return Err(format!(
                    "--bless refuses: {failed} cases outside of the selection fail"
                ));
            }
            Ok(None)
        }
        Err(Refused::Nothing(_)) => Ok(None),
        Err(refused) => refusal(&refused).map(Some),
    }
}

fn bless(finished: &Finished) -> Result<(), String> {
    let mut written = 0;
    for (loaded, played) in &finished.played {
        if played.blessings.is_empty() {
            continue;
        }
        let complain = |why: String| format!("{}: {why}", loaded.file.display());
        let text =
            std::fs::read_to_string(&*loaded.file).map_err(|error| complain(error.to_string()))?;
        let mut json = serde_json::from_str(&text).map_err(|error| complain(error.to_string()))?;
        written += edit::bless(&mut json, loaded.index, &played.blessings).map_err(complain)?;
        std::fs::write(&*loaded.file, edit::format_json(&json))
            .map_err(|error| complain(error.to_string()))?;
    }
    eprintln!("{written} expectations written; review them like code");
    Ok(())
}

fn refusal(refused: &Refused) -> Result<u8, String> {
    match refused {
        Refused::Usage(why) => Err(why.clone()),
        Refused::NotStarted(why) => {
            eprintln!("conformance: {why}");
            Ok(NOT_STARTED)
        }
        Refused::Nothing(why) => {
            eprintln!("conformance: {why}");
            println!("0 passed, 0 failed, 0 skipped");
            Ok(NOTHING)
        }
    }
}

fn coverage(root: &Path, all: &[Loaded]) -> Result<u8, String> {
    let path = find_up("docs/protocol/anchors.md")
        .or_else(|| root.parent()?.parent().map(|top| top.join("docs/protocol/anchors.md")))
        .ok_or_else(|| "docs/protocol/anchors.md is not here".to_owned())?;
    let text =
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let anchors: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let tested = |anchor: &str| {
        all.iter().filter(|loaded| loaded.case.spec.iter().any(|spec| spec == anchor)).count()
    };
    let without: Vec<&&str> = anchors.iter().filter(|anchor| tested(anchor) == 0).collect();
    for anchor in &without {
        println!("{anchor}");
    }
    let mut unknown: Vec<String> = all
        .iter()
        .flat_map(|loaded| loaded.case.spec.iter().map(move |spec| (spec, &loaded.id)))
        .filter(|(spec, _)| !anchors.contains(&spec.as_str()))
        .map(|(spec, id)| format!("{id} names {spec}, which is no rule"))
        .collect();
    unknown.sort();
    unknown.iter().for_each(|line| eprintln!("{line}"));
    eprintln!("{} of {} rules have a case", anchors.len() - without.len(), anchors.len());
    Ok(0)
}

fn format(root: &Path, check: bool) -> Result<u8, String> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    let mut unformatted = 0;
    for file in files {
        let complain = |why: String| format!("{}: {why}", file.display());
        let text = std::fs::read_to_string(&file).map_err(|error| complain(error.to_string()))?;
        let json = serde_json::from_str(&text).map_err(|error| complain(error.to_string()))?;
        let formatted = edit::format_json(&json);
        if formatted != text {
            unformatted += 1;
            println!("{}", file.display());
            if !check {
                std::fs::write(&file, formatted).map_err(|error| complain(error.to_string()))?;
            }
        }
    }
    Ok(u8::from(check && unformatted > 0))
}

fn collect(dir: &Path, into: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries = std::fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "json") {
            into.push(path);
        }
    }
    into.sort();
    Ok(())
}

fn profile(root: &Path, names: &[String]) -> Result<Option<Vec<String>>, String> {
    if names.is_empty() {
        return Ok(None);
    }
    let path = root.join("../v1/profiles.json");
    let text =
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let profiles: std::collections::BTreeMap<String, Vec<String>> =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut patterns = Vec::new();
    for name in names {
        let known = || profiles.keys().cloned().collect::<Vec<_>>().join(", ");
        patterns.extend(
            profiles
                .get(name)
                .ok_or_else(|| format!("no profile {name:?}; there are {}", known()))?
                .clone(),
        );
    }
    Ok(Some(patterns))
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut args = Args::default();
    args.options.progress = std::io::stderr().is_terminal();
    while let Some(word) = words.next() {
        let (flag, attached) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => {
                (flag.to_owned(), Some(value.to_owned()))
            }
            _ => (word.clone(), None),
        };
        let mut value = || {
            attached.clone().or_else(|| words.next()).ok_or_else(|| format!("{flag} needs a value"))
        };
        match flag.as_str() {
            "--impl" => args.implementation = Some(value()?),
            "--profile" => args.profiles.extend(value()?.split(',').map(str::to_owned)),
            "--run" => args.options.run.push(pattern(&value()?)),
            "--skip" => args.options.skip.push(pattern(&value()?)),
            "--since" => args.options.since = Some(value()?),
            "--level" => {
                let name = value()?;
                args.options.level =
                    Some(Level::from_str_name(&name).ok_or_else(|| format!("no level {name:?}"))?);
            }
            "--format" => {
                let name = value()?;
                if !case::FORMATS.contains(&&*name) {
                    return Err(format!("no format of plugins {name:?}"));
                }
                args.options.format = Some(name);
            }
            "--require" => args.options.require.extend(value()?.split(',').map(str::to_owned)),
            "--strict" => args.options.strict = true,
            "--shuffle" => args.options.shuffle = Some(number(&value()?)?),
            "--shard" => {
                let text = value()?;
                let (index, count) =
                    text.split_once('/').ok_or_else(|| format!("{text:?} is no I/N"))?;
                let (index, count) = (number(index)?, number(count)?);
                if index == 0 || index > count {
                    return Err(format!("there is no shard {text}"));
                }
                args.options.shard = Some((index, count));
            }
            "--jobs" => args.jobs = Some(number(&value()?)?.max(1) as usize),
            "--timeout-ms" => args.options.timeout = Duration::from_millis(number(&value()?)?),
            "--time-scale" => {
                let text = value()?;
                args.options.time_scale = text
                    .parse()
                    .ok()
                    .filter(|scale: &f64| scale.is_finite() && *scale > 0.0)
                    .ok_or_else(|| format!("{text:?} is no factor"))?;
            }
            "--cases" => args.cases = Some(PathBuf::from(value()?)),
            "--known-failures" => args.known = Some(PathBuf::from(value()?)),
            "--junit" => args.junit = Some(PathBuf::from(value()?)),
            "--json" => args.json = Some(PathBuf::from(value()?)),
            "--trace" => args.options.trace = Some(PathBuf::from(value()?)),
            "--bless" => args.options.bless = true,
            "--update-known" => args.update_known = true,
            "--list" => args.list = true,
            "--check" => args.check = true,
            "--quiet" => args.quiet = true,
            flag if flag.starts_with('-') => {
                return Err(format!("unknown option {flag}; see --help"));
            }
            _ => args.options.run.push(pattern(&word)),
        }
    }
    Ok(args)
}

/// A pattern, also when it was written as a path of a case file.
fn pattern(text: &str) -> String {
    let text = text.rsplit_once("conformance/").map_or(text, |(_, rest)| rest);
    let text = text.strip_prefix("cases/").unwrap_or(text);
    match text.strip_suffix(".json") {
        Some(suite) => format!("{suite}/*"),
        None => text.to_owned(),
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

fn find_up(relative: &str) -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().map(|dir| dir.join(relative)).find(|path| path.exists())
}

//! `conformance`: the command line around the runner.

use std::io::{IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lix_engine_conformance::case::schema::Report;
use lix_engine_conformance::case::schema::case::Level;
use lix_engine_conformance::case::{self, Loaded};
use lix_engine_conformance::compare::{self, Profiles};
use lix_engine_conformance::coverage::Coverage;
use lix_engine_conformance::host::{self, case::HostCases};
use lix_engine_conformance::implementation::{self, Config, Mode};
use lix_engine_conformance::known::KnownFailures;
use lix_engine_conformance::requirements::{self, RequiredSet};
use lix_engine_conformance::run::{self, Finished, Options, Refused};
use lix_engine_conformance::slt;
use lix_engine_conformance::suite::{self, Suite};
use lix_engine_conformance::trace::{Recorder, TraceFile};
use lix_engine_conformance::transport::{self, Listener};
use lix_engine_conformance::{edit, glob, html, play, proto, proxy::Proxy, replay, report};

const HELP: &str = "\
Drives an engine that speaks lix.engine.v1 through the case files and says where it breaks the contract.

conformance run --impl IMPL [OPTIONS] [PATTERN…]     run cases
conformance list [OPTIONS] [PATTERN…]                check the case files and list the selected ones
conformance coverage [--all] [--json FILE]           which rule of the manual has which case; 1 if a REQUIRED one has none
conformance report FILE… [--html OUT] [--junit OUT] [--report FORM]
                                                     reports of runs (run --json) as a page, or in another form
conformance merge FILE… --json OUT                   join the reports of all shards of a run
conformance diff BEFORE AFTER                        what changed between two reports; 1 if something fails now
conformance table FILE…                              the matrix of implementations and profiles, as Markdown
conformance requirements [--write | --release DATE]  check the required set, or write it, or freeze it
conformance fmt [--check]                            format the case files
conformance proxy --impl ENGINE [--listen HOST:PORT] [--sessions N] [--trace FILE]
                                                     stand between any host and an engine, and say who breaks what
conformance replay TRACE --impl ENGINE [PATTERN…]    send the frames of a trace (run --trace) again, compare the answers
conformance slt --impl ENGINE [FILE…] [--label NAME] [--timeout-ms N] [--junit FILE]
                                                     run SQL test files (sqllogictest) over the protocol; without a FILE ours
conformance relay HOST:PORT                          standard input and output to a port: an engine to start, for hosts

IMPL is a file impl.json, or 'stdio:COMMAND ARGS', tcp://HOST:PORT, ws://HOST:PORT/PATH,
browser:WORKER.JS (browser-classic: if it is no module) for a worker's script and all that lies in its folder, or
'host-stdio:COMMAND ARGS' for the adapter of a host library (host-adapters.md); with --engine IMPL the host and that
engine are tested together.
PATTERN matches case ids: * inside one part, ** over several; values/** or values/blobs/every-byte.
The cases are those of conformance/cases in this directory or above it, otherwise the program's own (--embedded).

Selection   --profile NAME  --run PATTERN  --skip PATTERN  --since 1.N  --level REQUIRED|RECOMMENDED|OPTIONAL
            --format ESM|WASM|BUILTIN (of fixture plugins)  --shard I/N  --list
Judgement   --require CAPABILITY  --strict  --known-failures FILE  --update-known
Running     --jobs N  --shuffle [SEED]  --timeout-ms N  --start-timeout-ms N  --time-scale X
            --cases DIR  --embedded  --serve DIR (in a browser, when the script's own folder is too narrow)  --bless
Output      --report human|json|junit|github  --junit FILE  --json FILE  --html FILE  --trace FILE  --quiet
            --name NAME (of the implementation, in reports)

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
    start_timeout: Option<Duration>,
    serve: Option<PathBuf>,
    name: Option<String>,
    html: Option<PathBuf>,
    engine: Option<String>,
    listen: Option<String>,
    labels: Vec<String>,
    sessions: Option<u64>,
    form: Form,
    list: bool,
    update_known: bool,
    check: bool,
    quiet: bool,
    embedded: bool,
    all: bool,
    write: bool,
    release: Option<String>,
    /// Words that are no options: patterns, or files.
    words: Vec<String>,
}

/// What goes to standard output.
#[derive(Clone, Copy, Default, PartialEq)]
enum Form {
    #[default]
    Human,
    Json,
    Junit,
    Github,
}

fn try_main() -> Result<u8, String> {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    if ["", "-h", "--help", "help"].contains(&command.as_str()) {
        print!("{HELP}");
        return Ok(if command.is_empty() { USAGE } else { 0 });
    }
    if ["-V", "--version"].contains(&command.as_str()) {
        println!("lix-engine-conformance {}", env!("CARGO_PKG_VERSION"));
        return Ok(0);
    }
    let mut args = parse(words)?;
    match command.as_str() {
        "relay" => return relay(&args),
        "slt" => return run_slt(&args),
        "proxy" => return proxy(&args),
        "replay" => return replay(&args),
        "merge" => return merge(&args),
        "diff" => return diff(&args),
        "run" | "list" | "coverage" | "fmt" | "report" | "table" | "requirements" => {}
        other => return Err(format!("unknown command {other:?}; see --help")),
    }
    let suite = suite(&args)?;
    match command.as_str() {
        "fmt" => return format(&suite, args.check),
        "report" => return show(&suite, &args),
        "table" => {
            let reports = read_reports(&args)?;
            print!("{}", compare::table(&reports, &profiles(&suite)?));
            return Ok(0);
        }
        _ => {}
    }
    let all = case::load_all(suite.cases())?;
    match command.as_str() {
        "coverage" => return coverage(&suite, &args, &all),
        "requirements" => {
            let mut every = all;
            every.extend(host::case::load_all(&suite)?.loaded);
            return requirements(&suite, &args, &every);
        }
        _ => {}
    }
    args.options.run.extend(args.words.iter().map(|word| pattern(word)));
    args.options.profile = profile(&suite, &args.profiles)?;
    args.options.required_set = RequiredSet::read(&suite, requirements::CURRENT)?.counting();
    for capability in &args.options.require {
        proto::enum_number("Capability", capability)?;
    }
    if command == "list" || args.list {
        let mut selected = run::select(&all, &args.options);
        selected.extend(run::select(&host::case::load_all(&suite)?.loaded, &args.options));
        for loaded in &selected {
            println!("{}", loaded.id);
        }
        eprintln!("{} cases", selected.len());
        return Ok(if selected.is_empty() { NOTHING } else { 0 });
    }
    let config = configured(&args)?;
    if args.engine.is_some() && config.mode != Mode::Host {
        return Err("--engine makes a pair: --impl then names the host (host-stdio:…)".to_owned());
    }
    args.options.jobs = args.jobs.or(config.jobs).unwrap_or_else(|| {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(4)
    });
    let hosts = host::case::load_all(&suite)?;
    execute(&config, &suite, &args, &all, &hosts)
}

/// What --impl names, as the other options have it.
fn configured(args: &Args) -> Result<Config, String> {
    let spec = args.implementation.as_deref().ok_or("--impl is missing; see --help")?;
    let mut config = implementation::resolve(spec)?;
    config.start_timeout = args.start_timeout.unwrap_or(config.start_timeout);
    config.name = args.name.clone().unwrap_or(config.name);
    if let Some(folder) = &args.serve {
        config.serve(folder)?;
    }
    Ok(config)
}

fn execute(
    config: &Config,
    suite: &Suite,
    args: &Args,
    all: &[Loaded],
    hosts: &HostCases,
) -> Result<u8, String> {
    let ids = || all.iter().chain(&hosts.loaded).map(|loaded| &loaded.id);
    for pattern in args.options.run.iter().chain(&args.options.skip) {
        let bare = pattern.split('@').next().unwrap_or(pattern);
        if !ids().any(|id| glob::selects(bare, id)) {
            eprintln!("conformance: no case is named like {pattern}");
        }
    }
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
    if args.options.bless && !suite.is_a_folder() {
        return Err("--bless writes into case files; say --cases DIR".to_owned());
    }
    if args.options.bless
        && let Some(code) = refuse_to_bless(config, args, all, &known)?
    {
        return Ok(code);
    }

    let outcome = match config.mode {
        Mode::Engine => run::run(config, &args.options, all, &known),
        Mode::Host if args.options.bless => {
            return Err("--bless is for cases about engines".to_owned());
        }
        Mode::Host => {
            let engine = args.engine.as_deref().map(implementation::resolve).transpose()?;
            host::run(config, engine.as_ref(), &args.options, hosts, &known)
        }
    };
    let finished = match outcome {
        Ok(finished) => finished,
        Err(refused) => return refusal(&refused),
    };
    emit(&finished.report, suite, args)?;
    if args.update_known {
        save(
            known_path.as_deref(),
            edit::update_known(&known_text, &run::today(), &finished.report),
        )?;
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

/// Shows a report and writes it to the files that were asked for.
fn emit(report: &Report, suite: &Suite, args: &Args) -> Result<(), String> {
    let text = match args.form {
        Form::Human => report::human(report),
        Form::Json => report::json(report),
        Form::Junit => report::junit(report),
        Form::Github => {
            let cases = suite.is_a_folder().then(|| relative(suite.cases()));
            format!("{}\n{}", report::github(report, cases.as_deref()), report::human(report))
        }
    };
    if args.quiet && args.form == Form::Human {
        let tail: Vec<&str> = text.lines().rev().take(2).collect();
        println!("{}\n{}", tail[1], tail[0]);
    } else {
        print!("{text}");
    }
    save(args.junit.as_deref(), report::junit(report))?;
    save(args.json.as_deref(), report::json(report))?;
    if args.html.is_some() {
        save(args.html.as_deref(), html::page(std::slice::from_ref(report), &profiles(suite)?))?;
    }
    Ok(())
}

fn save(path: Option<&Path>, text: String) -> Result<(), String> {
    match path {
        Some(path) => {
            std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
        }
        None => Ok(()),
    }
}

/// As it is written from here, which is how CI systems name files.
fn relative(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).to_path_buf()
}

fn read_reports(args: &Args) -> Result<Vec<Report>, String> {
    if args.words.is_empty() {
        return Err("which reports? name files that run --json wrote".to_owned());
    }
    args.words.iter().map(|word| report::read(Path::new(word))).collect()
}

/// What a report's totals are as an exit status.
fn status(report: &Report) -> u8 {
    u8::from(report.totals.unwrap_or_default().failed > 0)
}

fn show(suite: &Suite, args: &Args) -> Result<u8, String> {
    let reports = read_reports(args)?;
    if args.html.is_some() {
        save(args.html.as_deref(), html::page(&reports, &profiles(suite)?))?;
        if args.form == Form::Human && args.junit.is_none() {
            return Ok(reports.iter().map(status).max().unwrap_or_default());
        }
    }
    if args.junit.is_some() && reports.len() > 1 {
        return Err("--junit is for one report; join shards with merge".to_owned());
    }
    for report in &reports {
        emit(
            report,
            suite,
            &Args {
                form: args.form,
                quiet: args.quiet,
                junit: args.junit.clone(),
                ..Args::default()
            },
        )?;
    }
    Ok(reports.iter().map(status).max().unwrap_or_default())
}

fn merge(args: &Args) -> Result<u8, String> {
    let merged = compare::merge(&read_reports(args)?)?;
    if args.json.is_none() {
        print!("{}", report::json(&merged));
    } else {
        let text = report::human(&merged);
        print!("{text}");
    }
    save(args.json.as_deref(), report::json(&merged))?;
    save(args.junit.as_deref(), report::junit(&merged))?;
    Ok(status(&merged))
}

fn diff(args: &Args) -> Result<u8, String> {
    let reports = read_reports(args)?;
    let [before, after] = &reports[..] else {
        return Err("diff compares two reports".to_owned());
    };
    let changes = compare::diff(before, after);
    print!("{}", changes.human());
    Ok(u8::from(!changes.broken.is_empty()))
}

fn coverage(suite: &Suite, args: &Args, all: &[Loaded]) -> Result<u8, String> {
    let hosts = host::case::load_all(suite)?;
    let every = all.iter().chain(&hosts.loaded);
    let cases = every.map(|loaded| (loaded.id.as_str(), loaded.case.spec.as_slice()));
    let coverage = Coverage::of(&suite.anchors()?, cases)?;
    print!("{}", coverage.human(args.all));
    save(args.json.as_deref(), coverage.json())?;
    Ok(u8::from(!coverage.is_complete()))
}

fn requirements(suite: &Suite, args: &Args, all: &[Loaded]) -> Result<u8, String> {
    let minor = requirements::CURRENT;
    let path = suite.cases().join("..").join(requirements::file(minor));
    if args.write || args.release.is_some() {
        let released = path
            .is_file()
            .then(|| RequiredSet::read(suite, minor))
            .transpose()?
            .and_then(|set| set.released);
        if let Some(date) = released {
            return Err(format!("the required set of {minor} was frozen on {date}"));
        }
        if !suite.is_a_folder() {
            return Err("the program's own set cannot be written; say --cases DIR".to_owned());
        }
        let set = RequiredSet { released: args.release.clone(), ..RequiredSet::of(all, minor) };
        save(Some(&path), set.to_text())?;
        eprintln!("{}: {} cases", path.display(), set.cases.len());
        return Ok(0);
    }
    let set = RequiredSet::read(suite, minor)?;
    let faults = set.faults(all);
    faults.iter().for_each(|fault| println!("{fault}"));
    let state = set.released.as_ref().map_or("open".to_owned(), |date| format!("frozen on {date}"));
    if !faults.is_empty() && set.released.is_none() {
        println!("bring it up to date: conformance requirements --write");
    }
    println!(
        "the required set of {minor} is {state}: {} cases, {} faults",
        set.cases.len(),
        faults.len()
    );
    Ok(u8::from(!faults.is_empty()))
}

/// Plays the sessions of a trace again.
fn replay(args: &Args) -> Result<u8, String> {
    let (trace, patterns) =
        args.words.split_first().ok_or("which trace? name a file that run --trace wrote")?;
    let recorded = replay::selected(replay::read(Path::new(trace))?, patterns);
    let spec = args.implementation.as_deref().ok_or("--impl is missing; see --help")?;
    let config = implementation::resolve(spec)?;
    if config.mode == Mode::Host {
        return Err("a trace is played against an engine".to_owned());
    }
    let mut target = transport::target(&config)?;
    if let Err(why) = play::probe(&mut *target, config.start_timeout) {
        eprintln!("conformance: {}: {why}", config.name);
        return Ok(NOT_STARTED);
    }
    let (mut same, mut different) = (0, 0);
    for session in &recorded {
        let replayed = replay::replay(session, &mut *target, args.options.timeout)?;
        same += usize::from(replayed.differences.is_empty());
        different += usize::from(!replayed.differences.is_empty());
        if !replayed.differences.is_empty() {
            println!("{}", session.case);
            replayed
                .differences
                .iter()
                .for_each(|what| println!("  {}", what.replace('\n', "\n  ")));
        }
    }
    println!("{same} sessions as recorded, {different} different");
    Ok(match (same, different) {
        (0, 0) => NOTHING,
        (_, 0) => 0,
        _ => 1,
    })
}

/// Stands between any host and an engine, and says after each session who broke which rule.
fn proxy(args: &Args) -> Result<u8, String> {
    let spec = args.implementation.as_deref().ok_or("--impl is missing; see --help")?;
    let config = implementation::resolve(spec)?;
    if config.mode == Mode::Host {
        return Err("the proxy's --impl is the engine; the host connects by itself".to_owned());
    }
    let mut target = transport::target(&config)?;
    if let Err(why) = play::probe(&mut *target, config.start_timeout) {
        eprintln!("conformance: {}: {why}", config.name);
        return Ok(NOT_STARTED);
    }
    let trace = args.options.trace.as_deref().map(TraceFile::create).transpose()?;
    let mut listener = Listener::bind(args.listen.as_deref().unwrap_or("127.0.0.1:0"))?;
    eprintln!("listening on ws://{0} and tcp://{0}", listener.address());
    let (mut served, mut broken) = (0, false);
    while args.sessions.is_none_or(|most| served < most) {
        let Some((link, spoken)) = listener.accept(Instant::now() + Duration::from_secs(1))? else {
            continue;
        };
        served += 1;
        let recorder = Recorder::new(&format!("session {served}"), trace.clone());
        let deadline = Instant::now() + config.start_timeout;
        let mut proxy = match Proxy::open(link, &mut *target, recorder, deadline) {
            Ok(proxy) => proxy,
            Err(why) => {
                println!("session {served}: the engine: {why}");
                broken = true;
                continue;
            }
        };
        while proxy.host_ended.is_none() && !proxy.session.has_ended() {
            proxy.pump();
        }
        let owed = proxy.session.unanswered().len();
        proxy.finish(Duration::from_secs(2));
        println!(
            "session {served} ({}): {owed} requests were left without an answer",
            spoken.name()
        );
        for (who, breaches) in
            [("host", &proxy.legal.breaches), ("engine", &proxy.session.breaches)]
        {
            broken |= !breaches.is_empty();
            breaches.iter().for_each(|breach| println!("  the {who}: {breach}"));
            if breaches.is_empty() {
                println!("  the {who} keeps the rules");
            }
        }
    }
    Ok(u8::from(broken))
}

/// SQL test files, over the protocol.
fn run_slt(args: &Args) -> Result<u8, String> {
    let config = configured(args)?;
    if config.mode == Mode::Host {
        return Err("SQL test files are run on an engine".to_owned());
    }
    let named: Vec<PathBuf> = match &args.words[..] {
        [] => vec![suite(args)?.slt()],
        words => words.iter().map(PathBuf::from).collect(),
    };
    let scripts =
        slt::files(&named).and_then(|files| slt::read(&files, &args.labels, args.options.timeout));
    let ran = scripts.and_then(|scripts| {
        slt::run(&config, &scripts, args.options.timeout, |outcome| print!("{}", outcome.human()))
    });
    let (facts, outcomes) = match ran {
        Ok(ran) => ran,
        Err(slt::Refused::Files(faults)) => return Err(faults.join("\n")),
        Err(slt::Refused::NotStarted(why)) => {
            eprintln!("conformance: {why}");
            return Ok(NOT_STARTED);
        }
    };
    save(args.junit.as_deref(), slt::junit(&outcomes))?;
    let sum = |count: &dyn Fn(&slt::Outcome) -> usize| outcomes.iter().map(count).sum::<usize>();
    let failed = sum(&|outcome| outcome.failures.len());
    let passed = sum(&|outcome| outcome.passed);
    println!(
        "\n{}: {} files on SQLite {}, {} records not run",
        config.name,
        outcomes.len(),
        facts.sqlite_version,
        sum(&|outcome| outcome.not_run)
    );
    println!("{passed} passed, {failed} failed, {} skipped", sum(&|outcome| outcome.skipped));
    Ok(match (failed, passed) {
        (0, 0) => NOTHING,
        (0, _) => 0,
        _ => 1,
    })
}

/// Standard input and output to an address and back: how a host that starts its engine as a process reaches the runner.
fn relay(args: &Args) -> Result<u8, String> {
    let [address] = &args.words[..] else {
        return Err("relay takes one address".to_owned());
    };
    let complain = |error: std::io::Error| format!("{address}: {error}");
    let socket = std::net::TcpStream::connect(address).map_err(complain)?;
    socket.set_nodelay(true).map_err(complain)?;
    let mut to = socket.try_clone().map_err(complain)?;
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        // Either end may go first; what is left to do is to pass the end on.
        let _ = copy(&mut stdin, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let mut from = socket;
    let _ = copy(&mut from, &mut std::io::stdout().lock());
    Ok(0)
}

fn copy(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            n => {
                to.write_all(&buffer[..n])?;
                to.flush()?;
            }
        }
    }
}

/// Where the cases are: as said, or around here, or in the program.
fn suite(args: &Args) -> Result<Suite, String> {
    match (&args.cases, args.embedded) {
        (Some(_), true) => Err("--cases and --embedded exclude each other".to_owned()),
        (Some(cases), false) if !cases.is_dir() => Err(format!("{} is no folder", cases.display())),
        (Some(cases), false) => Ok(Suite::at(cases)),
        (None, true) => Ok(Suite::embedded()),
        (None, false) => {
            Ok(find_up("conformance/cases").map_or_else(Suite::embedded, |path| Suite::at(&path)))
        }
    }
}

fn format(suite: &Suite, check: bool) -> Result<u8, String> {
    if !suite.is_a_folder() {
        return Err("the program's own cases cannot be formatted; say --cases DIR".to_owned());
    }
    let mut files = Vec::new();
    for root in [suite.cases(), &suite.host_cases()] {
        if root.is_dir() {
            let found = suite::find(root, "json");
            files.extend(found.map_err(|error| format!("{}: {error}", root.display()))?);
        }
    }
    let mut unformatted = 0;
    for file in files {
        let complain = |why: String| format!("{}: {why}", file.display());
        let text = suite::read_text(&file)?;
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

fn profiles(suite: &Suite) -> Result<Profiles, String> {
    serde_json::from_str(&suite.schema_file("profiles.json")?)
        .map_err(|error| format!("profiles.json: {error}"))
}

fn profile(suite: &Suite, names: &[String]) -> Result<Option<Vec<String>>, String> {
    if names.is_empty() {
        return Ok(None);
    }
    let profiles = profiles(suite)?;
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

fn parse(words: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut words = words.peekable();
    let mut args = Args::default();
    args.options.progress = std::io::stderr().is_terminal();
    while let Some(word) = words.next() {
        let (flag, attached) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => {
                (flag.to_owned(), Some(value.to_owned()))
            }
            _ => (word.clone(), None),
        };
        if flag == "--shuffle" {
            let given = match &attached {
                Some(text) => Some(text.clone()),
                None => words.next_if(|next| next.bytes().all(|byte| byte.is_ascii_digit())),
            };
            args.options.shuffle =
                Some(given.map_or_else(|| Ok(any_seed()), |text| number(&text))?);
            continue;
        }
        let mut value = || {
            attached.clone().or_else(|| words.next()).ok_or_else(|| format!("{flag} needs a value"))
        };
        match flag.as_str() {
            "--engine" => args.engine = Some(value()?),
            "--listen" => args.listen = Some(value()?),
            "--sessions" => args.sessions = Some(number(&value()?)?),
            "--label" => args.labels.push(value()?),
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
            "--name" => args.name = Some(value()?),
            "--serve" => args.serve = Some(PathBuf::from(value()?)),
            "--start-timeout-ms" => {
                args.start_timeout = Some(Duration::from_millis(number(&value()?)?));
            }
            "--cases" => args.cases = Some(PathBuf::from(value()?)),
            "--known-failures" => args.known = Some(PathBuf::from(value()?)),
            "--html" => args.html = Some(PathBuf::from(value()?)),
            "--report" => {
                args.form = match value()?.as_str() {
                    "human" => Form::Human,
                    "json" => Form::Json,
                    "junit" => Form::Junit,
                    "github" => Form::Github,
                    other => {
                        return Err(format!("no report {other:?}: human, json, junit or github"));
                    }
                }
            }
            "--release" => args.release = Some(value()?),
            "--embedded" => args.embedded = true,
            "--all" => args.all = true,
            "--write" => args.write = true,
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
            _ => args.words.push(word),
        }
    }
    Ok(args)
}

/// A seed to be told, so that the order can be had again.
fn any_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::from(since.map_or(1, |since| since.subsec_nanos())).max(1)
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

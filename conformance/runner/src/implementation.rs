//! What is under test: `--impl`, either a file `impl.json` or a short form.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

/// A resolved description of an implementation.
#[derive(Clone, Debug)]
pub struct Config {
    /// For reports.
    pub name: String,
    /// How it is reached.
    pub transport: Transport,
    /// What to start; empty if it runs already (servers) or the runner knows (browser).
    pub command: Vec<String>,
    /// Added to the environment.
    pub env: BTreeMap<String, String>,
    /// Working directory of the command.
    pub dir: PathBuf,
    /// Servers that run already: `host:port/path`.
    pub address: String,
    /// Browser: the folder that is served, in which the worker's script and all that it loads are.
    pub package: PathBuf,
    /// Browser: the worker's script, below the package.
    pub worker: String,
    /// Browser: how the script is read.
    pub worker_type: WorkerType,
    /// Browser: the worker's name, by which it may know that it is under test.
    pub worker_name: String,
    /// How long a start may take.
    pub start_timeout: Duration,
    /// Capabilities the handshake must announce, without prefix.
    pub capabilities: Vec<String>,
    /// The known-failure list.
    pub known_failures: Option<PathBuf>,
    /// A build with control calls: MANUAL_CLOCK has to be announced.
    pub conformance: bool,
    /// Sessions at once by default.
    pub jobs: Option<usize>,
    /// Plugins that are modules can be interrupted.
    pub interrupts_plugins: bool,
    /// What storage TEST stands for, if that is said.
    pub storage: Option<StorageConfig>,
    /// Factor for what real time may be late or early.
    pub time_scale: f64,
    /// What was given on the command line.
    pub spec: String,
    /// What is under test.
    pub mode: Mode,
}

/// How a browser reads a worker's script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerType {
    /// With `import`.
    #[default]
    Module,
    /// With `importScripts`.
    Classic,
}

impl WorkerType {
    /// The name that `new Worker` takes.
    pub fn name(self) -> &'static str {
        match self {
            WorkerType::Module => "module",
            WorkerType::Classic => "classic",
        }
    }
}

impl Config {
    /// Serves a wider folder than the worker's own, for scripts that load what is beside or above them.
    pub fn serve(&mut self, folder: &Path) -> Result<(), String> {
        if self.transport != Transport::Browser {
            return Err("--serve is for engines in a browser".to_owned());
        }
        let real = |path: &Path| {
            path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))
        };
        let (folder, script) = (real(folder)?, real(&self.package.join(&self.worker))?);
        let inside = script.strip_prefix(&folder).ok().and_then(Path::to_str);
        self.worker = inside
            .ok_or_else(|| {
                format!("--serve {}: {} is not in it", folder.display(), script.display())
            })?
            .replace('\\', "/");
        self.package = folder;
        Ok(())
    }
}

/// What is under test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// An engine; the runner is the host.
    #[default]
    Engine,
    /// A host library behind an adapter; the runner is the engine.
    Host,
}

/// The storage that cases use.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// "FILE" or "OPFS".
    pub kind: String,
    /// What the paths of cases begin with; `${TMP}` is a directory that the runner makes and removes.
    pub path: Option<String>,
    /// Other kinds that the implementation has.
    #[serde(default)]
    pub also: Vec<String>,
}

/// How an implementation is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A process per session.
    Stdio,
    /// A socket with stream framing.
    Tcp,
    /// A WebSocket server.
    Ws,
    /// A worker in Chromium.
    Browser,
}

impl Transport {
    /// The name in case files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Stdio => "stdio",
            Transport::Tcp => "tcp",
            Transport::Ws => "ws",
            Transport::Browser => "browser",
        }
    }

    /// The class in case files.
    pub fn class(self) -> &'static str {
        match self {
            Transport::Stdio | Transport::Tcp => "stream",
            Transport::Ws | Transport::Browser => "message",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    transport: Transport,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    address: String,
    #[serde(default)]
    package: String,
    #[serde(default = "default_worker")]
    worker: String,
    #[serde(default)]
    worker_type: WorkerType,
    #[serde(default)]
    worker_name: String,
    #[serde(default = "default_start_timeout_ms")]
    start_timeout_ms: u64,
    #[serde(default)]
    capabilities: Vec<String>,
    known_failures: Option<String>,
    #[serde(default)]
    conformance: bool,
    jobs: Option<usize>,
    #[serde(default)]
    interrupts_plugins: bool,
    storage: Option<StorageConfig>,
    #[serde(default = "default_time_scale")]
    time_scale: f64,
    #[serde(default)]
    mode: Mode,
}

/// Resolves `--impl`: a path to `impl.json`, `stdio:COMMAND ARGS`, `tcp://…`, `ws://…`, `browser:WORKER`,
/// `browser-classic:WORKER`, or `host-stdio:COMMAND ARGS`. `WORKER` is a script, or a folder with a `worker.js`.
pub fn resolve(spec: &str) -> Result<Config, String> {
    let here = std::env::current_dir().map_err(|error| error.to_string())?;
    let short = |transport, name: &str| Config {
        name: name.to_owned(),
        transport,
        command: Vec::new(),
        env: BTreeMap::new(),
        dir: here.clone(),
        address: String::new(),
        package: PathBuf::new(),
        worker: default_worker(),
        worker_type: WorkerType::Module,
        worker_name: String::new(),
        start_timeout: Duration::from_millis(default_start_timeout_ms()),
        capabilities: Vec::new(),
        known_failures: None,
        conformance: false,
        jobs: None,
        interrupts_plugins: false,
        storage: None,
        time_scale: default_time_scale(),
        spec: spec.to_owned(),
        mode: Mode::Engine,
    };
    let (spec, mode) = match spec.strip_prefix("host-") {
        Some(rest) if rest.starts_with("stdio:") => (rest, Mode::Host),
        _ => (spec, Mode::Engine),
    };
    if let Some(command) = spec.strip_prefix("stdio:") {
        let words = words(command)?;
        let Some(program) = words.first() else {
            return Err("stdio: needs a command".to_owned());
        };
        let name =
            Path::new(program).file_stem().map_or("stdio".into(), |stem| stem.to_string_lossy());
        let mut config = short(Transport::Stdio, &name);
        config.command = words.clone();
        config.mode = mode;
        config.command[0] = locate(program, &here);
        return Ok(config);
    }
    for (prefix, transport) in [("tcp://", Transport::Tcp), ("ws://", Transport::Ws)] {
        if let Some(address) = spec.strip_prefix(prefix) {
            let mut config = short(transport, spec);
            config.address = address.to_owned();
            return Ok(config);
        }
    }
    for (prefix, worker_type) in
        [("browser:", WorkerType::Module), ("browser-classic:", WorkerType::Classic)]
    {
        if let Some(path) = spec.strip_prefix(prefix) {
            let mut config = short(Transport::Browser, "browser");
            (config.package, config.worker) = worker(&here.join(path))?;
            config.worker_type = worker_type;
            config.jobs = Some(1);
            return Ok(config);
        }
    }
    from_file(Path::new(spec), spec)
}

/// The folder to serve, and the script in it.
fn worker(path: &Path) -> Result<(PathBuf, String), String> {
    if path.is_dir() {
        return Ok((path.to_path_buf(), default_worker()));
    }
    match (path.parent(), path.file_name().and_then(|name| name.to_str())) {
        (Some(folder), Some(name)) => Ok((folder.to_path_buf(), name.to_owned())),
        _ => Err(format!("{} names no worker script", path.display())),
    }
}

fn from_file(path: &Path, spec: &str) -> Result<Config, String> {
    let complain = |why: String| format!("{}: {why}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| complain(error.to_string()))?;
    let file: File = serde_json::from_str(&text).map_err(|error| complain(error.to_string()))?;
    let dir = path
        .canonicalize()
        .ok()
        .and_then(|path| path.parent().map(Path::to_path_buf))
        .ok_or_else(|| complain("has no directory".to_owned()))?;
    let mut command = file
        .command
        .iter()
        .map(|word| from_environment(word))
        .collect::<Result<Vec<_>, _>>()
        .map_err(complain)?;
    if let Some(program) = command.first_mut() {
        *program = locate(program, &dir);
    }
    let needs_command = file.transport == Transport::Stdio;
    if file.mode == Mode::Host && file.transport != Transport::Stdio {
        return Err(complain(
            "the adapter of a host is a program: \"transport\": \"stdio\"".to_owned(),
        ));
    }
    if needs_command && command.is_empty() {
        return Err(complain("a stdio implementation needs a command".to_owned()));
    }
    Ok(Config {
        name: file.name,
        transport: file.transport,
        command,
        env: file.env,
        address: file.address.trim_start_matches("ws://").trim_start_matches("tcp://").to_owned(),
        package: dir.join(file.package),
        worker: file.worker,
        worker_type: file.worker_type,
        worker_name: file.worker_name,
        start_timeout: Duration::from_millis(file.start_timeout_ms),
        capabilities: file.capabilities,
        known_failures: file.known_failures.map(|name| dir.join(name)),
        conformance: file.conformance,
        jobs: file.jobs,
        interrupts_plugins: file.interrupts_plugins,
        storage: file.storage,
        time_scale: file.time_scale,
        dir,
        spec: spec.to_owned(),
        mode: file.mode,
    })
}

/// Words as a shell would cut them: at white space, except inside of quotes. Nothing else is special.
fn words(command: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in command.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    match quote {
        Some(open) => Err(format!("{command:?} has a {open} without its end")),
        None => {
            words.extend(word);
            Ok(words)
        }
    }
}

/// `${NAME:-default}` from the environment.
fn from_environment(word: &str) -> Result<String, String> {
    let Some((before, rest)) = word.split_once("${") else {
        return Ok(word.to_owned());
    };
    let (inner, after) =
        rest.split_once('}').ok_or_else(|| format!("\"${{\" without \"}}\" in {word:?}"))?;
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let value = std::env::var(name)
        .ok()
        .filter(|value| !value.is_empty())
        .or_else(|| default.map(str::to_owned))
        .ok_or_else(|| format!("the environment has no {name}"))?;
    Ok(format!("{before}{value}{}", from_environment(after)?))
}

/// A program with a path in it is relative to `dir`; a bare name is looked up as usual.
fn locate(program: &str, dir: &Path) -> String {
    if program.contains('/') {
        dir.join(program).to_string_lossy().into_owned()
    } else {
        program.to_owned()
    }
}

fn default_start_timeout_ms() -> u64 {
    10_000
}

fn default_worker() -> String {
    "worker.js".to_owned()
}

fn default_time_scale() -> f64 {
    1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms() {
        let config = resolve("stdio:./engine --flag x").unwrap();
        assert_eq!(config.transport, Transport::Stdio);
        assert!(config.command[0].ends_with("/./engine") && config.command[1..] == ["--flag", "x"]);
        assert_eq!(config.name, "engine");

        let config = resolve("ws://127.0.0.1:1/path").unwrap();
        assert_eq!(
            (config.transport, config.address.as_str()),
            (Transport::Ws, "127.0.0.1:1/path")
        );

        let config = resolve("stdio:'my engine' --say \"two words\"x ''").unwrap();
        assert_eq!(config.command, ["my engine", "--say", "two wordsx", ""]);
        assert!(resolve("stdio:./engine 'open").is_err());

        let config = resolve("host-stdio:node adapter.mjs").unwrap();
        assert_eq!((config.mode, config.command.len()), (Mode::Host, 2));

        let config = resolve("browser-classic:no/such/engine.js").unwrap();
        assert!(config.package.ends_with("no/such"), "its folder is served");
        assert_eq!(
            (config.worker.as_str(), config.worker_type),
            ("engine.js", WorkerType::Classic)
        );
        let config = resolve("browser:.").unwrap();
        assert_eq!((config.worker.as_str(), config.worker_type), ("worker.js", WorkerType::Module));

        assert!(resolve("stdio:").is_err());
        assert!(resolve("no/such/impl.json").is_err());
    }

    #[test]
    fn the_environment_can_name_the_binary() {
        assert_eq!(from_environment("${NO_SUCH_NAME:-a/b}/c"), Ok("a/b/c".to_owned()));
        assert!(from_environment("${NO_SUCH_NAME}").is_err());
        assert!(from_environment("${NO").is_err());
    }
}

//! Where cases keep their databases: what the storage TEST stands for in this run, and the bytes that are stored there.
//!
//! Every case has paths of its own, so that nothing depends on order and nothing is left over.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::implementation::{Config, StorageConfig, Transport};
use crate::transport::{Stored, Target, TempDir};

/// The storage under test.
#[derive(Clone)]
pub struct Storage {
    kind: String,
    also: Vec<String>,
    root: Root,
}

#[derive(Clone)]
enum Root {
    /// A directory of this machine.
    Directory(Arc<TempDir>, String),
    /// What only the implementation understands.
    Prefix(String),
}

impl Storage {
    /// What the configuration says; otherwise files, or OPFS in a browser.
    pub fn new(config: &Config) -> Result<Storage, String> {
        let browser = config.transport == Transport::Browser;
        let asked = config.storage.clone().unwrap_or(StorageConfig {
            kind: if browser { "OPFS" } else { "FILE" }.to_owned(),
            path: None,
            also: Vec::new(),
        });
        let path = asked.path.unwrap_or_else(|| {
            if asked.kind == "FILE" { TMP.to_owned() } else { "conformance".to_owned() }
        });
        let root = match path.strip_prefix(TMP) {
            Some(rest) => Root::Directory(
                Arc::new(TempDir::new("lix-conformance-store")?),
                rest.trim_matches('/').to_owned(),
            ),
            None => Root::Prefix(path),
        };
        Ok(Storage { kind: asked.kind, also: asked.also, root })
    }

    /// The kind's name without prefix.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// One line for reports.
    pub fn describe(&self) -> String {
        match &self.root {
            Root::Prefix(prefix) if self.kind != "OPFS" => format!("{} {prefix}", self.kind),
            _ => self.kind.clone(),
        }
    }

    /// Whether a case's condition on the storage holds.
    pub fn satisfies(&self, condition: &str) -> bool {
        match condition.strip_prefix('!') {
            Some("bytes") => !self.satisfies("bytes"),
            Some(kind) => self.kind != kind && !self.also.iter().any(|also| also == kind),
            None if condition == "bytes" => {
                matches!(self.root, Root::Directory(..)) || self.kind == "OPFS"
            }
            None => self.kind == condition,
        }
    }

    /// Room for one case.
    pub fn for_case(&self) -> Result<CaseStore, String> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = format!("c{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Ok(match &self.root {
            Root::Directory(root, below) => {
                let dir = root.path().join(below).join(name);
                std::fs::create_dir_all(&dir)
                    .map_err(|error| format!("{}: {error}", dir.display()))?;
                CaseStore {
                    kind: self.kind.clone(),
                    base: dir.to_string_lossy().into_owned(),
                    dir: Some(dir),
                }
            }
            Root::Prefix(prefix) => {
                let joined = if prefix.is_empty() || prefix.ends_with([':', '/']) {
                    format!("{prefix}{name}")
                } else {
                    format!("{prefix}/{name}")
                };
                CaseStore { kind: self.kind.clone(), base: joined, dir: None }
            }
        })
    }
}

/// The stores of one case. What the runner can reach is removed with it.
pub struct CaseStore {
    kind: String,
    base: String,
    dir: Option<PathBuf>,
}

impl CaseStore {
    /// The kind's name without prefix.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The path of a store as the protocol has it; the case's first store has no name.
    pub fn path(&self, name: &str) -> String {
        format!("{}/{}", self.base, if name.is_empty() { "store" } else { name })
    }

    /// Reads or changes what is stored, around the engine.
    pub fn access(
        &self,
        target: &mut dyn Target,
        name: &str,
        action: Stored,
        deadline: Instant,
    ) -> Result<Option<Vec<u8>>, String> {
        let path = self.path(name);
        if self.dir.is_none() {
            return target.stored(&path, action, deadline);
        }
        let complain = |error: std::io::Error| format!("{path}: {error}");
        match action {
            Stored::Read => match std::fs::read(&path) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(complain(error)),
            },
            Stored::Write(bytes) => std::fs::write(&path, bytes).map(|()| None).map_err(complain),
            Stored::Remove => std::fs::remove_file(&path).map(|()| None).map_err(complain),
        }
    }
}

impl Drop for CaseStore {
    fn drop(&mut self) {
        if let Some(dir) = &self.dir {
            // What a process that is still dying keeps open goes with the run's directory.
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

const TMP: &str = "${TMP}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::implementation::resolve;

    fn storage(spec: &str, kind: &str, path: Option<&str>) -> Storage {
        let mut config = resolve(spec).unwrap();
        config.storage = Some(StorageConfig {
            kind: kind.to_owned(),
            path: path.map(str::to_owned),
            also: Vec::new(),
        });
        Storage::new(&config).unwrap()
    }

    #[test]
    fn cases_have_paths_of_their_own() {
        let files = storage("stdio:x", "FILE", None);
        let (one, other) = (files.for_case().unwrap(), files.for_case().unwrap());
        assert_ne!(one.path(""), other.path(""));
        assert_ne!(one.path(""), one.path("b"));
        let dir = PathBuf::from(&one.base);
        assert!(dir.is_dir());
        drop(one);
        assert!(!dir.exists());

        let memory = storage("stdio:x", "FILE", Some("memory:")).for_case().unwrap();
        assert!(memory.path("b").starts_with("memory:c") && memory.path("b").ends_with("/b"));
    }

    #[test]
    fn conditions() {
        let files = storage("stdio:x", "FILE", None);
        assert!(files.satisfies("FILE") && files.satisfies("bytes") && files.satisfies("!OPFS"));
        assert!(!files.satisfies("OPFS") && !files.satisfies("!FILE"));
        let memory = storage("stdio:x", "FILE", Some("memory:"));
        assert!(!memory.satisfies("bytes") && memory.satisfies("!bytes"));
        assert!(storage("browser:x", "OPFS", None).satisfies("bytes"));
    }
}

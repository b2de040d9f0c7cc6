//! Files of one folder over HTTP on loopback, as the plainest host would serve them: no
//! cross-origin isolation headers, because the engine must not need any.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

/// A server that answers from its own threads until the process ends.
pub(crate) struct Server {
    pub(crate) url: String,
}

impl Server {
    /// Port 0 takes a free one.
    pub(crate) fn start(folder: &Path, port: u16) -> Result<Server> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("port {port} is taken; choose another with --port"))?;
        let url = format!("http://{}/", listener.local_addr()?);
        let folder = folder.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let folder = folder.clone();
                std::thread::spawn(move || answer(stream, &folder));
            }
        });
        Ok(Server { url })
    }
}

/// One request, one answer. A client that goes away is its own affair.
fn answer(mut stream: TcpStream, folder: &Path) {
    let _ = stream.set_read_timeout(Some(CLIENT_TIMEOUT));
    let Some(request) = read_request_line(&stream) else { return };
    let mut words = request.split(' ');
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let found = resolve(folder, target).and_then(|path| Some((std::fs::read(&path).ok()?, path)));
    let (status, kind, body) = match (method, found) {
        ("GET" | "HEAD", Some((body, path))) => ("200 OK", content_type(&path), body),
        ("GET" | "HEAD", None) => ("404 Not Found", "text/plain", b"not found\n".to_vec()),
        _ => ("405 Method Not Allowed", "text/plain", b"GET or HEAD\n".to_vec()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    );
    let _ = stream.write_all(head.as_bytes());
    if method != "HEAD" {
        let _ = stream.write_all(&body);
    }
}

/// The first line; the headers are read and dropped, or closing would reset the connection.
fn read_request_line(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream.take(MAX_REQUEST_BYTES));
    let mut request = String::new();
    reader.read_line(&mut request).ok()?;
    let mut header = String::new();
    while reader.read_line(&mut header).ok()? > 2 {
        header.clear();
    }
    Some(request.trim_end().to_owned())
}

/// The file a request target names; none outside the folder.
fn resolve(folder: &Path, target: &str) -> Option<PathBuf> {
    let path = target.split(['?', '#']).next()?.strip_prefix('/')?;
    let path = PathBuf::from(percent_decode(path)?);
    if path.components().any(|part| !matches!(part, Component::Normal(_))) {
        return None;
    }
    let path = folder.join(path);
    Some(if path.is_dir() { path.join("index.html") } else { path })
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let hex = std::str::from_utf8(tail.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).ok()
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_REQUEST_BYTES: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn get(url: &str, target: &str) -> String {
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn serves_its_folder_and_nothing_beside_it() {
        let served = crate::run::root().join("xtask/src");
        let server = Server::start(&served, 0).unwrap();

        let file = get(&server.url, "/serve.rs?v=1");
        assert!(file.starts_with("HTTP/1.1 200 OK\r\n"), "{file}");
        assert!(file.ends_with(include_str!("serve.rs")), "{file}");

        for outside in ["/../Cargo.toml", "/%2e%2e/Cargo.toml", "//etc/passwd", "/nothing", "/"] {
            let answer = get(&server.url, outside);
            assert!(answer.starts_with("HTTP/1.1 404"), "{outside}: {answer}");
        }
    }

    #[test]
    fn sends_no_cross_origin_isolation() {
        let server = Server::start(&crate::run::root().join("xtask/src"), 0).unwrap();
        let answer = get(&server.url, "/main.rs").to_lowercase();
        let (head, _) = answer.split_once("\r\n\r\n").unwrap();
        assert!(!head.contains("cross-origin"), "{head}");
    }
}

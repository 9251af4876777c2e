//! A small stand-in for the hub: the same answers over HTTP on this machine, and the same faults.
//!
//! It is two hosts, as the hub is: one that knows the repository and answers for small files itself, and a storage that
//! large files are redirected to. A third port is a proxy that leads to the first host whatever name is asked for.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

/// The commit that every branch stands for.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// In the query of each address in the storage: no output may have it.
pub const SIGNATURE: &str = "signature-of-the-storage";
const PAGE: &[u8] = b"<!DOCTYPE html><html>quota exceeded</html>";
/// How long a stalled connection is held, unless the client leaves.
const STALL: Duration = Duration::from_secs(60);

/// What goes wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The hub answers with this status.
    Status(u16),
    /// 429, with the seconds to wait.
    TooMany(u64),
    /// A web page in place of the file, with status 200.
    WebPage,
    /// A web page with the type of a file.
    WebPageInDisguise,
    /// The hub says another size than the file has.
    Size(u64),
    /// The hub says another SHA-256 than the file has.
    Hash,
    /// The connection is closed after so many bytes of the body.
    Drop(usize),
    /// Nothing more comes after so many bytes of the body.
    Stall(usize),
    /// The body comes in this many pieces with a pause of so many milliseconds after each.
    Trickle(usize, u64),
    /// A request for the rest is answered with the whole file.
    IgnoreRange,
    /// Any request is answered with the whole file, and the connection is closed after so many bytes of it.
    Restart(usize),
    /// A request for the rest is answered with bytes from elsewhere in the file.
    OtherRange,
    /// A request for the rest is answered with 416.
    RefuseRange,
}

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Whether it came to the storage rather than to the hub.
    pub to_storage: bool,
    /// `HEAD`, `GET`, `CONNECT`.
    pub method: String,
    /// Path and query; of a `CONNECT` host and port.
    pub target: String,
    /// Headers by their names in lower case.
    pub headers: BTreeMap<String, String>,
}

struct File {
    bytes: Vec<u8>,
    is_large: bool,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, File>,
    /// Of a path: what goes wrong, and how many times more.
    faults: Vec<(String, Fault, usize)>,
    token: Option<String>,
    requests: Vec<Request>,
}

/// The hub with one repository.
pub struct HubServer {
    state: Arc<Mutex<State>>,
    hub: u16,
    proxy: u16,
}

#[derive(Clone)]
struct Host {
    /// `/datasets/owner/name`, `/owner/name`.
    repository: String,
    storage: u16,
    is_storage: bool,
    state: Arc<Mutex<State>>,
}

impl HubServer {
    /// A hub with an empty repository: `datasets/owner/name`, or `owner/name` for a model.
    #[must_use]
    pub fn start(repository: &str) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let listeners: Vec<TcpListener> =
            (0..3).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let ports: Vec<u16> = listeners.iter().map(|l| l.local_addr().expect("a bound port").port()).collect();
        for (number, listener) in listeners.into_iter().enumerate() {
            let host = Host {
                repository: format!("/{repository}"),
                storage: ports[1],
                is_storage: number == 1,
                state: Arc::clone(&state),
            };
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let host = host.clone();
                    thread::spawn(move || host.serve(stream));
                }
            });
        }
        Self { state, hub: ports[0], proxy: ports[2] }
    }

    /// A file that the hub gives itself.
    #[must_use]
    pub fn with_small(self, path: &str, bytes: &[u8]) -> Self {
        self.put(path, bytes, false);
        self
    }

    /// A file that the storage gives.
    #[must_use]
    pub fn with_large(self, path: &str, bytes: &[u8]) -> Self {
        self.put(path, bytes, true);
        self
    }

    /// The repository opens only to this token.
    #[must_use]
    pub fn gated(self, token: &str) -> Self {
        self.lock().token = Some(token.to_string());
        self
    }

    /// Lets a fault happen to a file, so many times.
    pub fn fail(&self, path: &str, fault: Fault, times: usize) {
        self.lock().faults.push((path.to_string(), fault, times));
    }

    fn put(&self, path: &str, bytes: &[u8], is_large: bool) {
        self.lock().files.insert(path.to_string(), File { bytes: bytes.to_vec(), is_large });
    }

    /// For `HF_ENDPOINT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.hub)
    }

    /// For `HTTP_PROXY`.
    #[must_use]
    pub fn proxy(&self) -> String {
        format!("http://127.0.0.1:{}", self.proxy)
    }

    /// All requests up to now.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    /// The `GET` requests for a file that reached the host that has its bytes.
    #[must_use]
    pub fn transfers(&self, path: &str) -> Vec<Request> {
        let is_large = self.lock().files.get(path).is_some_and(|file| file.is_large);
        let is_it = |request: &Request| {
            let target = request.target.split('?').next().unwrap_or_default();
            request.method == "GET" && request.to_storage == is_large && target.ends_with(&format!("/{path}"))
        };
        self.requests().into_iter().filter(is_it).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics here")
    }
}

/// SHA-256 in hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Host {
    fn serve(&self, mut stream: TcpStream) {
        while let Some(request) = read_request(&mut stream, self.is_storage) {
            self.state.lock().expect("no test panics here").requests.push(request.clone());
            if request.method == "CONNECT" {
                if stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").is_err() {
                    return;
                }
                continue;
            }
            // A client that leaves early is what some tests are about.
            let _ = self.answer(&mut stream, &request);
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    }

    fn answer(&self, stream: &mut TcpStream, request: &Request) -> std::io::Result<()> {
        let target = request.target.split('?').next().unwrap_or_default();
        if !self.is_storage && target.starts_with(&format!("/api{}/revision/", self.repository)) {
            return self.list(stream);
        }
        let Some(rest) = target.strip_prefix(&self.repository) else {
            let code = "X-Error-Code: RepoNotFound\r\n";
            return send(stream, "404 Not Found", code, b"");
        };
        let path = match rest.strip_prefix("/resolve/") {
            Some(rest) if !self.is_storage => rest.split_once('/').map_or("", |(_, path)| path),
            _ => rest.trim_start_matches('/'),
        };
        let state = self.state.lock().expect("no test panics here");
        if let (Some(token), false) = (&state.token, self.is_storage)
            && request.headers.get("authorization") != Some(&format!("Bearer {token}"))
        {
            return send(stream, "401 Unauthorized", "X-Error-Code: GatedRepo\r\n", b"");
        }
        let Some(file) = state.files.get(path) else {
            let headers = format!("X-Error-Code: EntryNotFound\r\nX-Repo-Commit: {COMMIT}\r\n");
            return send(stream, "404 Not Found", &headers, b"");
        };
        let (bytes, is_large) = (file.bytes.clone(), file.is_large);
        drop(state);
        let has_body = request.method == "GET" && is_large == self.is_storage;
        if !self.is_storage {
            return self.answer_as_hub(stream, request, path, &bytes, is_large);
        }
        self.send_file(stream, request, path, &bytes, "", has_body)
    }

    /// The files of the repository, as the hub's interface for programs lists them.
    fn list(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let state = self.state.lock().expect("no test panics here");
        let files: Vec<_> = state.files.keys().map(|path| serde_json::json!({ "rfilename": path })).collect();
        drop(state);
        let body = serde_json::json!({ "sha": COMMIT, "siblings": files }).to_string();
        send(stream, "200 OK", "Content-Type: application/json; charset=utf-8\r\n", body.as_bytes())
    }

    fn answer_as_hub(
        &self,
        stream: &mut TcpStream,
        request: &Request,
        path: &str,
        bytes: &[u8],
        is_large: bool,
    ) -> std::io::Result<()> {
        let mut size = bytes.len() as u64;
        let mut hash = sha256(bytes);
        match self.take(path, |fault| {
            matches!(fault, Fault::Status(_) | Fault::TooMany(_) | Fault::WebPage | Fault::Size(_) | Fault::Hash)
        }) {
            Some(Fault::Status(status)) => return send(stream, &format!("{status} Fault"), "", b""),
            Some(Fault::TooMany(seconds)) => {
                return send(stream, "429 Too Many Requests", &format!("Retry-After: {seconds}\r\n"), b"");
            }
            Some(Fault::WebPage) => {
                return send(stream, "200 OK", "Content-Type: text/html; charset=utf-8\r\n", PAGE);
            }
            Some(Fault::Size(other)) => size = other,
            Some(Fault::Hash) => hash = sha256(b"other bytes"),
            _ => {}
        }
        let commit = format!("X-Repo-Commit: {COMMIT}\r\n");
        if is_large {
            let headers = format!(
                "{commit}X-Linked-Size: {size}\r\nX-Linked-Etag: \"{hash}\"\r\nETag: \"of-the-redirect\"\r\n\
                 Location: http://127.0.0.1:{}{}/{path}?X-Signature={SIGNATURE}\r\n",
                self.storage, self.repository
            );
            return send(stream, "302 Found", &headers, b"");
        }
        // The hub tags small files with git's hash, of 40 digits.
        let headers = format!("{commit}ETag: \"{}\"\r\n", &hash[..40]);
        self.send_file(stream, request, path, bytes, &headers, request.method == "GET")
    }

    fn send_file(
        &self,
        stream: &mut TcpStream,
        request: &Request,
        path: &str,
        bytes: &[u8],
        headers: &str,
        has_body: bool,
    ) -> std::io::Result<()> {
        if !has_body {
            return head(stream, "200 OK", headers, bytes.len());
        }
        let wanted = request.headers.get("range").and_then(|range| {
            range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-')).and_then(|first| first.parse().ok())
        });
        let fault = self.take(path, |fault| match fault {
            Fault::IgnoreRange | Fault::OtherRange | Fault::RefuseRange => wanted.is_some(),
            Fault::Status(_) | Fault::TooMany(_) | Fault::WebPage | Fault::Size(_) | Fault::Hash => false,
            _ => true,
        });
        let first: usize = match (fault, wanted) {
            (Some(Fault::IgnoreRange | Fault::Restart(_)), _) | (_, None) => 0,
            (Some(Fault::OtherRange), Some(first)) => first / 2,
            (Some(Fault::RefuseRange), _) => return send(stream, "416 Range Not Satisfiable", "", b""),
            (_, Some(first)) => first,
        };
        let page;
        let (status, range, body) = match fault {
            Some(Fault::WebPageInDisguise) => {
                page = PAGE.iter().copied().chain(std::iter::repeat(b' ')).take(bytes.len()).collect::<Vec<_>>();
                ("200 OK", String::new(), page.as_slice())
            }
            _ if first == 0 => ("200 OK", String::new(), bytes),
            _ => {
                let whole = bytes.len();
                let range = format!("Content-Range: bytes {first}-{}/{whole}\r\n", whole - 1);
                ("206 Partial Content", range, bytes.get(first..).unwrap_or_default())
            }
        };
        head(stream, status, &format!("{headers}{range}"), body.len())?;
        match fault {
            Some(Fault::Drop(length) | Fault::Restart(length)) => stream.write_all(body.get(..length).unwrap_or(body)),
            Some(Fault::Stall(length)) => {
                stream.write_all(body.get(..length).unwrap_or(body))?;
                stream.set_read_timeout(Some(STALL))?;
                stream.read(&mut [0]).map(drop)
            }
            Some(Fault::Trickle(pieces, pause)) => {
                for piece in body.chunks(body.len().div_ceil(pieces)) {
                    stream.write_all(piece)?;
                    thread::sleep(Duration::from_millis(pause));
                }
                Ok(())
            }
            _ => stream.write_all(body),
        }
    }

    /// The next fault of a file that applies.
    fn take(&self, path: &str, applies: impl Fn(Fault) -> bool) -> Option<Fault> {
        let mut state = self.state.lock().expect("no test panics here");
        let found = state.faults.iter_mut().find(|(of, fault, times)| of == path && *times > 0 && applies(*fault))?;
        found.2 -= 1;
        Some(found.1)
    }
}

fn send(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
    head(stream, status, headers, body.len())?;
    stream.write_all(body)
}

fn head(stream: &mut TcpStream, status: &str, headers: &str, length: usize) -> std::io::Result<()> {
    let kind = if headers.contains("Content-Type") { "" } else { "Content-Type: application/octet-stream\r\n" };
    let text = format!("HTTP/1.1 {status}\r\n{headers}{kind}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes())
}

fn read_request(stream: &mut TcpStream, to_storage: bool) -> Option<Request> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        text.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut lines = text.lines();
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_string(), first.next()?.to_string());
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_string()))
        .collect();
    Some(Request { to_storage, method, target, headers })
}

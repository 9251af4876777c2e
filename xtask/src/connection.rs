//! Requests to the hub: redirects, the token, and which failures may pass.

use std::cell::Cell;
use std::io;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Error, anyhow};
use ureq::http::{HeaderMap, Response, StatusCode, Uri};
use ureq::{Agent, Body};

use crate::settings::Settings;

/// Redirects that are followed; the hub needs one or two.
const REDIRECTS: usize = 8;
/// Attempts that bring nothing before one gives up.
const ATTEMPTS: u32 = 5;
/// Before the second attempt; each further wait is twice as long: 7.5 seconds in all.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest that a server may ask to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Headers may take this many times as long as a single read.
const HEADER_READS: u32 = 6;

/// Why there is no answer.
pub enum Failure {
    /// It may pass: try again, after this time where the server named one.
    Passing { problem: String, wait: Option<Duration> },
    /// The file or repository is not there.
    Missing { problem: String, entry_only: bool, commit: Option<String> },
    /// Trying again would not help.
    Final(Error),
}

impl Failure {
    pub fn passing(problem: String) -> Self {
        Self::Passing { problem, wait: None }
    }

    pub fn into_error(self) -> Error {
        match self {
            Self::Passing { problem, .. } | Self::Missing { problem, .. } => anyhow!(problem),
            Self::Final(error) => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// How often and how long to wait for a failure to pass.
#[derive(Default)]
pub struct Patience {
    attempts: u32,
}

impl Patience {
    /// Waits after a failure that may pass; any other, or one too many, is an error.
    pub fn wait(&mut self, failure: Failure, say: &dyn Fn(&str)) -> Result<(), Failure> {
        let Failure::Passing { problem, wait } = failure else { return Err(failure) };
        self.attempts += 1;
        if self.attempts >= ATTEMPTS {
            return Err(anyhow!("{problem}; gave up after {ATTEMPTS} attempts").into());
        }
        let wait = wait.unwrap_or(FIRST_WAIT * 2_u32.pow(self.attempts - 1));
        if wait > LONGEST_WAIT {
            return Err(anyhow!("{problem}; the server asks to wait {} seconds: try again then", wait.as_secs()).into());
        }
        say(&format!("{problem}; again in {:.1} s", wait.as_secs_f64()));
        sleep(wait);
        Ok(())
    }

    /// Something came: the count starts again.
    pub fn renew(&mut self) {
        self.attempts = 0;
    }
}

/// What the hub says of a file before its bytes come, gathered over the redirects: the hub's own words come first.
#[derive(Default, Clone)]
pub struct Described {
    pub commit: Option<String>,
    pub etag: Option<String>,
    pub size: Option<u64>,
}

impl Described {
    fn add_of_the_hub(&mut self, headers: &HeaderMap) {
        let text = |name| text(headers, name);
        self.commit = self.commit.take().or_else(|| text("x-repo-commit").filter(|commit| is_commit(commit)));
        self.etag = self.etag.take().or_else(|| text("x-linked-etag").as_deref().and_then(etag));
        self.size = self.size.or_else(|| text("x-linked-size").and_then(|size| size.parse().ok()));
    }

    fn add_of_the_file(&mut self, headers: &HeaderMap) {
        self.etag = self.etag.take().or_else(|| text(headers, "etag").as_deref().and_then(etag));
    }
}

/// An answer with a body.
pub struct Answer {
    /// Of the last host, without its query.
    pub url: String,
    pub status: StatusCode,
    pub described: Described,
    /// First byte and whole length.
    pub range: Option<(u64, Option<u64>)>,
    pub length: Option<u64>,
    pub body: Body,
}

pub struct Connection {
    settings: Settings,
    agent: Agent,
    /// Before a host has answered once, a refused connection is a wrong address rather than a lost network.
    answered: Cell<bool>,
}

impl Connection {
    pub fn new(settings: Settings) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("cnc-xtask/", env!("CARGO_PKG_VERSION")))
            .proxy(None)
            .timeout_connect(Some(settings.timeout))
            .timeout_per_read(Some(settings.timeout))
            .timeout_per_write(Some(settings.timeout))
            .timeout_recv_response(Some(settings.timeout * HEADER_READS))
            .build()
            .new_agent();
        Self { settings, agent, answered: Cell::new(false) }
    }

    pub fn endpoint(&self) -> &str {
        &self.settings.endpoint
    }

    /// What the hub says of a file; its bytes stay there.
    pub fn describe(&self, url: &str) -> Result<Described, Failure> {
        let mut described = Described::default();
        let mut url = url.to_string();
        for _ in 0..REDIRECTS {
            let response = self.send(Method::Head, &url)?;
            described.add_of_the_hub(response.headers());
            if let Some(next) = redirect(&url, &response)? {
                if described.etag.is_some() && described.size.is_some() {
                    return Ok(described);
                }
                url = next;
                continue;
            }
            self.check(&url, &response)?;
            described.add_of_the_file(response.headers());
            described.size = described.size.or_else(|| length(response.headers()));
            return Ok(described);
        }
        Err(anyhow!("{}: more than {REDIRECTS} redirects", shown(&url)).into())
    }

    /// The bytes of a file from an offset on, if the server can do that: the answer's status says so.
    pub fn get(&self, url: &str, offset: u64) -> Result<Answer, Failure> {
        let mut described = Described::default();
        let mut url = url.to_string();
        for hop in 0..REDIRECTS {
            let response = self.send(Method::Get { offset }, &url)?;
            described.add_of_the_hub(response.headers());
            if let Some(next) = redirect(&url, &response)? {
                url = next;
                continue;
            }
            if response.status() != StatusCode::RANGE_NOT_SATISFIABLE {
                self.check(&url, &response)?;
            }
            if hop == 0 {
                described.add_of_the_file(response.headers());
            }
            let headers = response.headers();
            return Ok(Answer {
                url: shown(&url),
                status: response.status(),
                described,
                range: text(headers, "content-range").as_deref().and_then(content_range),
                length: length(headers),
                body: response.into_body(),
            });
        }
        Err(anyhow!("{}: more than {REDIRECTS} redirects", shown(&url)).into())
    }

    fn send(&self, method: Method, url: &str) -> Result<Response<Body>, Failure> {
        let uri: Uri = url.parse().map_err(|_| anyhow!("{} is not a URL", shown(url)))?;
        let request = match method {
            Method::Head => self.agent.head(url),
            Method::Get { .. } => self.agent.get(url),
        };
        let mut request =
            request.config().proxy(self.settings.proxy(&uri)).build().header("accept-encoding", "identity");
        if let Method::Get { offset: offset @ 1.. } = method {
            request = request.header("range", format!("bytes={offset}-"));
        }
        // The token is for the hub: not for the host that it redirects to.
        if let Some(token) = self.settings.token.as_ref().filter(|_| same_host(url, self.endpoint())) {
            request = request.header("authorization", token.header());
        }
        match request.call() {
            Ok(response) => {
                self.answered.set(true);
                Ok(response)
            }
            Err(error) => Err(self.no_answer(url, error)),
        }
    }

    fn no_answer(&self, url: &str, error: ureq::Error) -> Failure {
        let mut problem = format!("{}: {}", shown(url), explain(&error));
        if same_host(url, self.endpoint()) {
            problem += " (HF_ENDPOINT names the hub, HTTPS_PROXY a proxy)";
        }
        let may_pass = match &error {
            ureq::Error::Io(error) => self.answered.get() || error.kind() != io::ErrorKind::ConnectionRefused,
            ureq::Error::HostNotFound | ureq::Error::ConnectProxyFailed(_) => self.answered.get(),
            ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed | ureq::Error::Protocol(_) => true,
            _ => false,
        };
        if may_pass { Failure::passing(problem) } else { anyhow!(problem).into() }
    }

    /// Only a status of success, and no web page in place of a file.
    fn check(&self, url: &str, response: &Response<Body>) -> Result<(), Failure> {
        let headers = response.headers();
        let status = response.status();
        let url = shown(url);
        if status.is_success() {
            let kind = text(headers, "content-type").unwrap_or_default();
            if kind.starts_with("text/html") && !url.ends_with(".html") {
                return Err(anyhow!(
                    "{url}: a web page came in place of the file: a sign-in page of the network, or a mirror that does \
                     not have it (HF_ENDPOINT names the hub)"
                )
                .into());
            }
            if text(headers, "content-encoding").is_some_and(|encoding| encoding != "identity") {
                return Err(anyhow!("{url}: the file came compressed though that was not asked for").into());
            }
            return Ok(());
        }
        let code = text(headers, "x-error-code").unwrap_or_default();
        let problem = format!("{url}: {status}");
        match status.as_u16() {
            404 | 410 => Err(Failure::Missing {
                problem: match code.as_str() {
                    "RepoNotFound" => format!("{problem}: there is no such repository"),
                    "RevisionNotFound" => format!("{problem}: the repository has no such revision"),
                    _ => format!("{problem}: there is no such file"),
                },
                entry_only: matches!(code.as_str(), "" | "EntryNotFound"),
                commit: text(headers, "x-repo-commit").filter(|commit| is_commit(commit)),
            }),
            401 | 403 => Err(anyhow!("{problem}: {}", self.closed(&code)).into()),
            429 | 500.. | 408 => Err(Failure::Passing { problem, wait: retry_after(headers) }),
            _ => Err(anyhow!(problem).into()),
        }
    }

    fn closed(&self, code: &str) -> &'static str {
        match (code, self.settings.token.is_some()) {
            ("GatedRepo", true) => {
                "the repository is gated: ask for access on its page with the account of the token (HF_TOKEN)"
            }
            (_, true) => "the token (HF_TOKEN, or the token file of HF_HOME) does not open this repository",
            (_, false) => {
                "the repository is gated, private or does not exist: ask for access on its page, then set HF_TOKEN to \
                 a token of that account"
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Method {
    Head,
    Get { offset: u64 },
}

/// A commit's name is 40 hexadecimal digits.
pub fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A URL without what may be secret: a query may be a signature, and a password may stand before the host.
pub fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => url.to_string(),
    }
}

fn explain(error: &ureq::Error) -> String {
    match error {
        ureq::Error::BadUri(_) => "not a URL".to_string(),
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Timeout(timeout) => format!("no answer in time ({timeout})"),
        other => other.to_string(),
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(|value| value.trim().to_string())
}

fn length(headers: &HeaderMap) -> Option<u64> {
    text(headers, "content-length").and_then(|length| length.parse().ok())
}

/// The tag without its quotes and weakness; only one that can be a file's name.
fn etag(header: &str) -> Option<String> {
    let tag = header.trim().trim_start_matches("W/").trim_matches('"');
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (!tag.is_empty() && tag.len() <= 128 && tag.bytes().all(is_name)).then(|| tag.to_string())
}

/// `bytes 5-9/10`, or `*` for the length.
fn content_range(header: &str) -> Option<(u64, Option<u64>)> {
    let (range, whole) = header.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, whole.trim().parse().ok()))
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    text(headers, "retry-after").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs)
}

fn redirect(url: &str, response: &Response<Body>) -> Result<Option<String>, Failure> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = text(response.headers(), "location")
        .ok_or_else(|| anyhow!("{}: a redirect that does not say where to", shown(url)))?;
    Ok(Some(join(url, &location)))
}

/// A redirect's target: a URL, or a path on the same host.
fn join(url: &str, location: &str) -> String {
    if location.contains("://") {
        return location.to_string();
    }
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    if location.starts_with("//") {
        return format!("{scheme}:{location}");
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if location.starts_with('/') {
        return format!("{scheme}://{host}{location}");
    }
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let folder = path.rsplit_once('/').map_or(host, |(folder, _)| folder);
    format!("{scheme}://{folder}/{location}")
}

/// Same scheme, host and port.
fn same_host(a: &str, b: &str) -> bool {
    let origin = |url: &str| {
        let uri: Uri = url.parse().ok()?;
        let scheme = uri.scheme_str()?.to_string();
        let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        Some((scheme, uri.host()?.to_lowercase(), port))
    };
    origin(a).is_some_and(|a| Some(a) == origin(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_stays_with_scheme_host_and_port() {
        assert!(same_host("https://hub.example.org/a?b", "https://HUB.example.org:443"));
        assert!(!same_host("http://hub.example.org/a", "https://hub.example.org"));
        assert!(!same_host("https://hub.example.org:8443/a", "https://hub.example.org"));
        assert!(!same_host("https://hub.example.org.other.org/a", "https://hub.example.org"));
    }

    #[test]
    fn a_shown_url_has_neither_signature_nor_password() {
        assert_eq!(shown("https://me:secret@host:1/a/b?Signature=secret"), "https://host:1/a/b");
    }

    #[test]
    fn a_redirect_may_be_relative() {
        let url = "https://host/owner/name/file?x=/y";
        assert_eq!(join(url, "/new/file"), "https://host/new/file");
        assert_eq!(join(url, "other"), "https://host/owner/name/other");
        assert_eq!(join(url, "//cdn/file"), "https://cdn/file");
        assert_eq!(join(url, "http://cdn/file"), "http://cdn/file");
    }

    #[test]
    fn only_a_tag_that_can_be_a_files_name_is_taken() {
        assert_eq!(etag("W/\"abc-1\"").as_deref(), Some("abc-1"));
        assert_eq!(etag("\"../../x\""), None);
        assert_eq!(etag("\"\""), None);
    }

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        assert_eq!(content_range("lines 5-9/10"), None);
    }
}

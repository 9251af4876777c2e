//! What the environment says about the hub, by the variables of Python's huggingface_hub. An empty variable counts as
//! not set.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cnc_data::hub_home;
use ureq::Proxy;
use ureq::http::Uri;

const ENDPOINT: &str = "https://huggingface.co";
/// Seconds without a byte after which a connection counts as dead; huggingface_hub's value.
const TIMEOUT: f64 = 10.0;

pub struct Settings {
    /// Without a slash at its end.
    pub endpoint: String,
    pub token: Option<Token>,
    /// The longest time without a byte.
    pub timeout: Duration,
    proxies: Proxies,
}

/// A secret: it goes into one header, and nothing can print it.
pub struct Token(String);

impl Token {
    pub fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl Settings {
    pub fn from_env() -> Result<Self> {
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_string());
        let endpoint = endpoint.trim_end_matches('/').to_string();
        let scheme = endpoint.parse::<Uri>().ok().and_then(|uri| uri.scheme_str().map(str::to_string));
        if !matches!(scheme.as_deref(), Some("http" | "https")) {
            bail!("HF_ENDPOINT must be a URL like {ENDPOINT}");
        }
        Ok(Self { endpoint, token: token()?, timeout: timeout()?, proxies: Proxies::from_env()? })
    }

    /// The proxy for a URL, if there is to be one.
    pub fn proxy(&self, uri: &Uri) -> Option<Proxy> {
        let host = uri.host()?;
        if self.proxies.bypass.iter().any(|entry| is_bypassed(entry, host, uri.port_u16())) {
            return None;
        }
        if uri.scheme_str() == Some("https") { self.proxies.https.clone() } else { self.proxies.http.clone() }
    }
}

pub fn offline() -> bool {
    set("HF_HUB_OFFLINE").is_some_and(|value| !matches!(value.to_lowercase().as_str(), "0" | "false" | "no" | "off"))
}

fn set(variable: &str) -> Option<String> {
    env::var(variable).ok().map(|value| value.trim().to_string()).filter(|value| !value.is_empty())
}

fn token() -> Result<Option<Token>> {
    let (token, place) = match set("HF_TOKEN") {
        Some(token) => (token, "HF_TOKEN".to_string()),
        None => {
            let path = set("HF_TOKEN_PATH").map_or_else(|| hub_home().join("token"), PathBuf::from);
            let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
            (text.trim().to_string(), path.display().to_string())
        }
    };
    if token.is_empty() {
        return Ok(None);
    }
    // A line break or a letter outside ASCII cannot stand in a header.
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("the token in {place} has characters that no token has: is it the right text?");
    }
    Ok(Some(Token(token)))
}

fn timeout() -> Result<Duration> {
    let Some(text) = set("HF_HUB_DOWNLOAD_TIMEOUT") else { return Ok(Duration::from_secs_f64(TIMEOUT)) };
    let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds > 0.0);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .with_context(|| format!("HF_HUB_DOWNLOAD_TIMEOUT must be a positive number of seconds, not `{text}`"))
}

struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    bypass: Vec<String>,
}

impl Proxies {
    fn from_env() -> Result<Self> {
        let bypass = set("NO_PROXY").or_else(|| set("no_proxy")).unwrap_or_default();
        Ok(Self {
            http: proxy(&["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])?,
            https: proxy(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])?,
            bypass: bypass.split(',').map(|entry| entry.trim().to_lowercase()).filter(|e| !e.is_empty()).collect(),
        })
    }
}

/// The first of the variables that is set. Its value may hold a password and is not shown.
fn proxy(variables: &[&str]) -> Result<Option<Proxy>> {
    let Some((variable, value)) = variables.iter().find_map(|name| set(name).map(|value| (name, value))) else {
        return Ok(None);
    };
    Proxy::new(&value).map(Some).with_context(|| format!("{variable} must be a URL like http://proxy.example.org:3128"))
}

/// `*`, a host, or a domain with all below it; each with or without a port.
fn is_bypassed(entry: &str, host: &str, port: Option<u16>) -> bool {
    let host = host.to_lowercase();
    let (name, wanted) = match entry.rsplit_once(':') {
        Some((name, digits)) if digits.parse::<u16>().is_ok() => (name, digits.parse().ok()),
        _ => (entry, None),
    };
    let domain = name.trim_start_matches('*').trim_start_matches('.');
    let is_here = name == "*" || host == domain || (!domain.is_empty() && host.ends_with(&format!(".{domain}")));
    is_here && (wanted.is_none() || wanted == port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_bypassed_by_its_name_its_domain_or_a_star() {
        for entry in ["*", "hub.example.org", "example.org", ".example.org", "*.example.org", "hub.example.org:8080"] {
            assert!(is_bypassed(entry, "Hub.example.org", Some(8080)), "{entry}");
        }
        for entry in ["ample.org", "other.example.org", "hub.example.org:80"] {
            assert!(!is_bypassed(entry, "hub.example.org", Some(8080)), "{entry}");
        }
    }
}

//! `cargo xtask fetch` against a hub on this machine: the right file or a clear error, never a wrong file in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use cnc_tests::hub_server::{COMMIT, Fault, HubServer, SIGNATURE, sha256};
use cnc_tests::{Outcome, Workbench, binary};

const MODEL: &str = "owner/name";
const TOKEN: &str = "hf_the-secret-token";
const CONFIG: &[u8] = b"{\"architectures\": [\"ResNet\"], \"hidden_size\": 32}";
const WEIGHTS: &str = "model.safetensors";

/// A safetensors file: the length of its header, the header, and numbers that differ from place to place.
fn weights() -> Vec<u8> {
    let numbers = (0..100_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes());
    2_u64.to_le_bytes().into_iter().chain(*b"{}").chain(numbers).collect()
}

/// A model repository as most are: large weights, small texts, and no tokenizer.json.
fn model() -> HubServer {
    HubServer::start(MODEL)
        .with_large(WEIGHTS, &weights())
        .with_small("config.json", CONFIG)
        .with_small("vocab.txt", b"[PAD]\n[UNK]\n")
}

/// A fresh folder whose fetches go to a hub of this machine.
struct Fetch {
    bench: Workbench,
    endpoint: String,
}

impl Fetch {
    fn from(hub: &HubServer) -> Self {
        Self { bench: Workbench::new(), endpoint: hub.endpoint() }
    }

    /// `cargo xtask fetch` with nothing of this machine's own environment in it.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("xtask"));
        command.arg("fetch").args(arguments).current_dir(self.bench.path());
        for (name, _) in std::env::vars() {
            let name_in_capitals = name.to_uppercase();
            if name_in_capitals.starts_with("HF_") || name_in_capitals.ends_with("_PROXY") {
                command.env_remove(name);
            }
        }
        command.env_remove("HUGGINGFACE_HUB_CACHE");
        command.env("HF_HOME", self.bench.file("home")).env("HF_ENDPOINT", &self.endpoint);
        command
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        done(&mut self.command(arguments))
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn repository(&self) -> PathBuf {
        self.bench.file("home/hub/models--owner--name")
    }

    fn snapshot(&self, path: &str) -> PathBuf {
        self.repository().join("snapshots").join(COMMIT).join(path)
    }

    fn part(&self) -> PathBuf {
        self.repository().join("blobs").join(format!("{}.incomplete", sha256(&weights())))
    }

    /// The weights are there, whole, in the layout that all clients of the hub share, and nothing else of them is.
    fn has_weights(&self) {
        assert!(fs::read(self.snapshot(WEIGHTS)).unwrap() == weights(), "other bytes than the hub's");
        assert!(fs::read(self.repository().join("blobs").join(sha256(&weights()))).unwrap() == weights());
        assert_eq!(fs::read_to_string(self.repository().join("refs/main")).unwrap(), COMMIT);
        assert_eq!(incomplete(&self.bench.file("home")), Vec::<PathBuf>::new());
    }

    /// No file of the name `path` that a program could take for the hub's, and no blob but those of the small files.
    fn has_not(&self, path: &str) {
        assert!(self.snapshot(path).symlink_metadata().is_err(), "{path} is in the cache");
        for blob in fs::read_dir(self.repository().join("blobs")).into_iter().flatten() {
            let blob = blob.unwrap().path();
            let is_small = fs::metadata(&blob).unwrap().len() < 100;
            let is_part = blob.extension().is_some_and(|extension| extension == "incomplete");
            assert!(is_small || is_part, "{} is in the cache", blob.display());
        }
    }
}

/// What a command ended with: no output of any test has the token or the storage's signature.
fn done(command: &mut Command) -> Outcome {
    ended(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

fn ended(child: Child) -> Outcome {
    let outcome = Outcome::of(child.wait_with_output().unwrap());
    for secret in [TOKEN, SIGNATURE] {
        assert!(!outcome.stdout.contains(secret) && !outcome.stderr.contains(secret), "{secret} was printed");
    }
    outcome
}

/// Files below a folder that are not complete.
fn incomplete(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(incomplete(&entry.path()));
        } else if entry.path().extension().is_some_and(|extension| extension == "incomplete") {
            found.push(entry.path());
        }
    }
    found
}

fn wait_until(mut happened: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if happened() {
            return;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("it did not happen in 30 seconds");
}

#[test]
fn a_model_comes_with_those_of_its_files_that_exist_in_the_shared_layout() {
    let hub = model();
    let fetch = Fetch::from(&hub);
    let outcome = fetch.run(&[MODEL]).success();
    fetch.has_weights();
    assert_eq!(outcome.stdout.lines().count(), 3, "{}", outcome.stdout);
    assert!(!outcome.stderr.contains('\u{1b}'), "control codes in a pipe: {:?}", outcome.stderr);
    assert_eq!(fs::read(fetch.snapshot("config.json")).unwrap(), CONFIG);
    assert!(fetch.repository().join(".no_exist").join(COMMIT).join("tokenizer.json").is_file());
    #[cfg(unix)]
    assert_eq!(
        fs::read_link(fetch.snapshot(WEIGHTS)).unwrap(),
        Path::new("../../blobs").join(sha256(&weights())),
        "links are relative, so that the cache can be moved"
    );
}

#[test]
fn what_is_here_is_not_asked_for_again() {
    let hub = model();
    let fetch = Fetch::from(&hub);
    fetch.run(&[MODEL]).success();
    let before = hub.requests().len();
    fetch.run(&[MODEL]).success();
    assert_eq!(hub.requests().len(), before);
}

#[test]
fn a_dataset_comes_at_the_revision_of_its_manifest_whatever_letters_it_has() {
    let data = b"PAR1 rows PAR1";
    let hub =
        HubServer::start("datasets/owner/name").with_large("data/train.parquet", data).with_large("b.parquet", data);
    let fetch = Fetch::from(&hub);
    dataset(&fetch, "refs/convert/parquet", "data/train.parquet", "b.parquet");
    fetch.run(&["sample.toml"]).success();
    let folder = fetch.bench.file("home/hub/datasets--owner--name");
    assert_eq!(fs::read(folder.join("snapshots").join(COMMIT).join("data/train.parquet")).unwrap(), data);
    assert_eq!(fs::read_to_string(folder.join("refs/refs/convert/parquet")).unwrap(), COMMIT);
    assert_eq!(hub.transfers("b.parquet").len(), 0, "equal files are one blob, which comes once");
    let first = hub.requests().into_iter().next().unwrap();
    assert_eq!(first.target, "/datasets/owner/name/resolve/refs%2Fconvert%2Fparquet/data/train.parquet");
}

/// A manifest of digits whose files are in the hub.
fn dataset(fetch: &Fetch, revision: &str, train: &str, test: &str) {
    let digits = include_str!("../../datasets/digits/dataset.toml");
    let source = format!("[source]\nhub = \"owner/name\"\nrevision = \"{revision}\"\n\n[input]");
    let manifest = digits
        .replace("[input]", &source)
        .replace("\"train.parquet\"", &format!("\"{train}\""))
        .replace("\"test.parquet\"", &format!("\"{test}\""));
    fs::write(fetch.bench.file("sample.toml"), manifest).unwrap();
}

#[test]
fn faults_that_pass_end_in_the_right_file() {
    let passing = [
        Fault::Status(500),
        Fault::Status(503),
        Fault::TooMany(1),
        Fault::Drop(0),
        Fault::Drop(100_000),
        Fault::Trickle(10, 50),
    ];
    for fault in passing {
        let hub = model();
        hub.fail(WEIGHTS, fault, 2);
        let fetch = Fetch::from(&hub);
        let outcome = fetch.run(&[MODEL]);
        assert_eq!(outcome.code, Some(0), "{fault:?}: {}", outcome.stderr);
        fetch.has_weights();
    }
}

#[test]
fn faults_that_stay_are_named_and_leave_no_file() {
    let staying: [(Fault, &[&str]); 9] = [
        (Fault::Status(401), &["401", "HF_TOKEN", WEIGHTS]),
        (Fault::Status(403), &["403", "HF_TOKEN", WEIGHTS]),
        (Fault::Status(400), &["400", WEIGHTS]),
        (Fault::TooMany(86_400), &["429", "86400 seconds"]),
        (Fault::WebPage, &["a web page came in place of the file", WEIGHTS, "HF_ENDPOINT"]),
        (Fault::WebPageInDisguise, &["SHA-256", WEIGHTS]),
        (Fault::Size(123), &["400010", "the hub says 123"]),
        (Fault::Size(500_000), &["400010", "the hub says 500000"]),
        (Fault::Hash, &["SHA-256", "the hub says", WEIGHTS]),
    ];
    for (fault, words) in staying {
        let hub = model();
        hub.fail(WEIGHTS, fault, usize::MAX);
        let fetch = Fetch::from(&hub);
        fetch.run(&[MODEL]).fails(1, words);
        fetch.has_not(WEIGHTS);
        assert!(!fetch.part().exists(), "{fault:?}: wrong bytes are kept");
        assert!(!fetch.repository().join("refs").exists(), "{fault:?}: the branch has not all of its files");
    }
}

#[test]
fn a_web_page_is_refused_where_the_hub_gives_neither_size_nor_hash() {
    let hub = model();
    hub.fail("config.json", Fault::WebPageInDisguise, usize::MAX);
    let fetch = Fetch::from(&hub);
    fetch.run(&[MODEL]).fails(1, &["config.json", "a web page came in place of the file"]);
    assert!(!fetch.repository().join("snapshots").exists());
}

#[test]
fn a_server_that_stays_broken_is_given_up() {
    let hub = model();
    hub.fail(WEIGHTS, Fault::Status(500), usize::MAX);
    let fetch = Fetch::from(&hub);
    fetch.run(&[MODEL]).fails(1, &["500", "gave up after 5 attempts"]);
    fetch.has_not(WEIGHTS);
}

#[test]
fn a_server_that_breaks_at_the_same_place_for_ever_is_given_up() {
    let hub = model();
    hub.fail(WEIGHTS, Fault::Restart(100_000), usize::MAX);
    let fetch = Fetch::from(&hub);
    fetch.run(&[MODEL]).fails(1, &["gave up after 5 attempts", "100000 bytes are kept", "run it again"]);
    fetch.has_not(WEIGHTS);
}

#[test]
fn a_missing_repository_and_a_missing_file_are_named_with_their_address() {
    let hub = model();
    let fetch = Fetch::from(&hub);
    fetch.run(&["owner/other"]).fails(1, &["404", "/owner/other/resolve/main/config.json", "no such repository"]);
    let empty = HubServer::start(MODEL);
    Fetch::from(&empty).run(&[MODEL]).fails(1, &["owner/name", "has none of", "config.json"]);
    let data = HubServer::start("datasets/owner/name").with_large("a.parquet", b"PAR1 rows PAR1");
    let fetch = Fetch::from(&data);
    dataset(&fetch, "main", "a.parquet", "gone.parquet");
    fetch.run(&["sample.toml"]).fails(1, &["404", "gone.parquet", "no such file"]);
    assert!(!fetch.bench.file("home/hub/datasets--owner--name/snapshots").exists());
}

#[test]
fn a_broken_connection_resumes_with_the_rest() {
    let hub = model();
    hub.fail(WEIGHTS, Fault::Drop(100_000), 1);
    let fetch = Fetch::from(&hub);
    fetch.run(&[MODEL]).success();
    fetch.has_weights();
    let ranges: Vec<_> = hub.transfers(WEIGHTS).iter().map(|request| request.headers.get("range").cloned()).collect();
    assert_eq!(ranges, [None, Some("bytes=100000-".to_string())]);
}

#[test]
fn a_fetch_that_was_killed_goes_on_where_it_stopped() {
    let hub = model();
    hub.fail(WEIGHTS, Fault::Stall(150_000), 1);
    let fetch = Fetch::from(&hub);
    let mut child = fetch.start(&[MODEL]);
    wait_until(|| fs::metadata(fetch.part()).is_ok_and(|found| found.len() == 150_000));
    child.kill().unwrap();
    ended(child);
    fetch.has_not(WEIGHTS);
    fetch.run(&[MODEL]).success();
    fetch.has_weights();
    assert_eq!(hub.transfers(WEIGHTS)[1].headers["range"], "bytes=150000-");
}

#[test]
fn an_answer_other_than_the_rest_does_not_corrupt_the_file() {
    for fault in [Fault::IgnoreRange, Fault::OtherRange, Fault::RefuseRange] {
        let hub = model();
        hub.fail(WEIGHTS, Fault::Drop(100_000), 1);
        hub.fail(WEIGHTS, fault, 1);
        let fetch = Fetch::from(&hub);
        let outcome = fetch.run(&[MODEL]);
        assert_eq!(outcome.code, Some(0), "{fault:?}: {}", outcome.stderr);
        fetch.has_weights();
    }
}

#[test]
fn a_part_with_other_bytes_or_too_many_is_thrown_away() {
    for left in [vec![7; 100], vec![7; weights().len()], vec![7; weights().len() + 1]] {
        let hub = model();
        let fetch = Fetch::from(&hub);
        fs::create_dir_all(fetch.part().parent().unwrap()).unwrap();
        fs::write(fetch.part(), left).unwrap();
        fetch.run(&[MODEL]).success();
        fetch.has_weights();
    }
}

#[test]
fn only_a_connection_without_a_byte_times_out() {
    let hub = model();
    // Two seconds in all, a tenth of one for each piece.
    hub.fail(WEIGHTS, Fault::Trickle(20, 100), 1);
    let fetch = Fetch::from(&hub);
    done(fetch.command(&[MODEL]).env("HF_HUB_DOWNLOAD_TIMEOUT", "1")).success();
    fetch.has_weights();
    assert_eq!(hub.transfers(WEIGHTS).len(), 1);
    let hub = model();
    hub.fail(WEIGHTS, Fault::Stall(100_000), 1);
    let fetch = Fetch::from(&hub);
    done(fetch.command(&[MODEL]).env("HF_HUB_DOWNLOAD_TIMEOUT", "0.5")).success();
    fetch.has_weights();
    assert_eq!(hub.transfers(WEIGHTS)[1].headers["range"], "bytes=100000-");
}

#[test]
fn the_second_of_two_waits_and_finds_the_file() {
    let hub = model();
    hub.fail(WEIGHTS, Fault::Trickle(30, 50), 1);
    let fetch = Fetch::from(&hub);
    let first = fetch.start(&[MODEL]);
    wait_until(|| fetch.part().exists());
    let second = fetch.start(&[MODEL]);
    let (first, second) = (ended(first).success(), ended(second).success());
    assert!(second.stderr.contains("another program fetches it"), "{}", second.stderr);
    assert_eq!(first.stdout, second.stdout);
    fetch.has_weights();
    assert_eq!(hub.transfers(WEIGHTS).len(), 1);
}

#[test]
fn the_token_goes_to_the_hub_only_and_into_no_output() {
    let fetched_with = |variable: &str, value: &str, file: &str| {
        let hub = model().gated(TOKEN);
        let fetch = Fetch::from(&hub);
        if !file.is_empty() {
            let file = fetch.bench.file(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, format!("{TOKEN}\n")).unwrap();
        }
        let outcome = done(fetch.command(&[MODEL]).env(variable, value));
        let requests = hub.requests();
        let told = requests.iter().filter(|request| request.headers.contains_key("authorization"));
        assert_eq!(told.filter(|request| request.to_storage).count(), 0, "the storage got the token");
        outcome
    };
    fetched_with("HF_TOKEN", TOKEN, "").success();
    fetched_with("HF_TOKEN", "", "home/token").success();
    fetched_with("HF_TOKEN_PATH", "secret", "secret").success();
    fetched_with("HF_TOKEN", "", "").fails(1, &["401", "gated", "set HF_TOKEN"]);
    fetched_with("HF_TOKEN", &format!("{TOKEN}-of-another"), "").fails(1, &["401", "HF_TOKEN"]);
    fetched_with("HF_TOKEN", &format!("{TOKEN}\n{TOKEN}"), "").fails(1, &["HF_TOKEN"]);
}

#[test]
fn the_variables_of_the_hub_are_honoured() {
    let hub = model();
    let fetch = Fetch::from(&hub);
    let cache = fetch.bench.file("elsewhere");
    done(fetch.command(&[MODEL]).env("HF_HUB_CACHE", &cache).env("HF_ENDPOINT", format!("{}/", hub.endpoint())))
        .success();
    assert!(cache.join("models--owner--name/snapshots").join(COMMIT).join(WEIGHTS).exists());
    assert!(!fetch.bench.file("home").exists());
    assert!(hub.requests().iter().all(|request| !request.target.contains("//")));
    let nobody = "http://127.0.0.1:9";
    done(fetch.command(&[MODEL]).env("HF_ENDPOINT", nobody)).fails(1, &[nobody, "HF_ENDPOINT"]);
    done(fetch.command(&[MODEL]).env("HF_ENDPOINT", "hub.example.org")).fails(1, &["HF_ENDPOINT", "URL"]);
    done(fetch.command(&[MODEL]).env("HF_HUB_DOWNLOAD_TIMEOUT", "soon")).fails(1, &["HF_HUB_DOWNLOAD_TIMEOUT", "soon"]);
}

#[test]
fn a_proxy_is_used_for_all_but_the_hosts_of_no_proxy() {
    let hub = model();
    let fetch = Fetch::from(&hub);
    let with_proxy = |bypass: &str| {
        let mut command = fetch.command(&[MODEL, "--force"]);
        command.env("HF_ENDPOINT", "http://hub.example.org").env("HTTP_PROXY", hub.proxy()).env("NO_PROXY", bypass);
        done(&mut command)
    };
    with_proxy("127.0.0.1").success();
    fetch.has_weights();
    let connected = hub.requests().into_iter().filter(|request| request.method == "CONNECT");
    let targets: Vec<_> = connected.map(|request| request.target).collect();
    assert!(!targets.is_empty() && targets.iter().all(|target| target == "hub.example.org:80"), "{targets:?}");
    with_proxy("127.0.0.1, .example.org").fails(1, &["hub.example.org"]);
}

#[test]
fn nothing_is_asked_for_offline() {
    let hub = model();
    let fetch = Fetch::from(&hub);
    let offline = |arguments: &[&str]| done(fetch.command(arguments).env("HF_HUB_OFFLINE", "1"));
    offline(&[MODEL]).fails(1, &["HF_HUB_OFFLINE", "--from"]);
    offline(&[MODEL, "--list"]).success();
    assert_eq!(hub.requests(), []);
    fetch.run(&[MODEL]).success();
    let before = hub.requests().len();
    offline(&[MODEL]).success();
    offline(&[MODEL, "--verify"]).success();
    offline(&[MODEL, "--force"]).fails(1, &["HF_HUB_OFFLINE"]);
    assert_eq!(hub.requests().len(), before);
}

#[test]
fn a_local_copy_needs_no_hub() {
    let hub = HubServer::start(MODEL);
    let fetch = Fetch::from(&hub);
    let folder = fetch.bench.file("usb/models/owner/name");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(WEIGHTS), weights()).unwrap();
    fetch.run(&[MODEL, "--from", "usb"]).success();
    assert!(fs::read(fetch.repository().join("blobs").join(sha256(&weights()))).unwrap() == weights());
    fetch.run(&[MODEL, "--verify"]).success();
    assert_eq!(hub.requests(), []);
    fetch.run(&["owner/other", "--from", "usb"]).fails(1, &["usb", "owner", "other", "has none of"]);
}

#[test]
fn a_list_shows_what_would_come_and_what_is_here() {
    let hub = model();
    let fetch = Fetch::from(&hub);
    let before = fetch.run(&[MODEL, "--list"]).success().stdout;
    let line = |text: &str, path: &str| text.lines().find(|line| line.ends_with(path)).unwrap().to_string();
    assert!(line(&before, WEIGHTS).starts_with("missing") && line(&before, WEIGHTS).contains("390.63 KiB"), "{before}");
    assert!(line(&before, "tokenizer.json").starts_with("not in it"), "{before}");
    assert!(!fetch.bench.file("home").exists(), "a list writes nothing");
    fetch.run(&[MODEL]).success();
    fs::OpenOptions::new().write(true).open(fetch.snapshot(WEIGHTS)).unwrap().set_len(10).unwrap();
    let after = fetch.run(&[MODEL, "--list"]).success().stdout;
    assert!(line(&after, WEIGHTS).starts_with("incomplete"), "{after}");
    assert!(line(&after, "vocab.txt").starts_with("here"), "{after}");
}

#[test]
fn a_file_that_lost_its_end_is_seen_and_brought_again() {
    for repair in [&[MODEL][..], &[MODEL, "--force"]] {
        let hub = model();
        let fetch = Fetch::from(&hub);
        fetch.run(&[MODEL]).success();
        fetch.run(&[MODEL, "--verify"]).success();
        fs::OpenOptions::new().write(true).open(fetch.snapshot(WEIGHTS)).unwrap().set_len(200_005).unwrap();
        let words = ["incomplete, expected 400010 bytes, found 200005", "cargo xtask fetch owner/name --force"];
        fetch.run(&[MODEL, "--verify"]).fails(1, &words);
        fetch.run(repair).success();
        fetch.has_weights();
    }
}

#[test]
fn a_file_of_another_client_that_lost_its_end_is_seen_by_its_hash() {
    let hub = model();
    let fetch = Fetch::from(&hub);
    fetch.run(&[MODEL]).success();
    fs::remove_dir_all(fetch.repository().join(".fetched")).unwrap();
    fs::OpenOptions::new().write(true).open(fetch.snapshot(WEIGHTS)).unwrap().set_len(200_005).unwrap();
    fetch.run(&[MODEL, "--verify"]).fails(1, &[WEIGHTS, "SHA-256"]);
    fetch.run(&[MODEL]).success();
    fetch.has_weights();
}

#[test]
fn a_changed_byte_is_seen_by_verify_and_mended_by_force() {
    let hub = model();
    let fetch = Fetch::from(&hub);
    fetch.run(&[MODEL]).success();
    let mut bytes = weights();
    bytes[300_000] ^= 1;
    fs::write(fetch.snapshot(WEIGHTS), bytes).unwrap();
    fetch.run(&[MODEL, "--verify"]).fails(1, &[WEIGHTS, "SHA-256", "--force"]);
    fetch.run(&[MODEL, "--force"]).success();
    fetch.has_weights();
    fetch.run(&[MODEL, "--verify"]).success();
}

#[test]
fn a_forced_fetch_that_fails_leaves_the_file_that_was_here() {
    let hub = model();
    let fetch = Fetch::from(&hub);
    fetch.run(&[MODEL]).success();
    hub.fail(WEIGHTS, Fault::Hash, usize::MAX);
    fetch.run(&[MODEL, "--force"]).fails(1, &["SHA-256"]);
    assert!(fs::read(fetch.snapshot(WEIGHTS)).unwrap() == weights());
}

#[test]
fn training_on_data_that_lost_its_end_says_how_to_mend_it() {
    let digits = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/digits");
    let train = fs::read(digits.join("train.parquet")).unwrap();
    let test = fs::read(digits.join("test.parquet")).unwrap();
    let hub =
        HubServer::start("datasets/owner/name").with_large("train.parquet", &train).with_large("test.parquet", &test);
    let fetch = Fetch::from(&hub);
    dataset(&fetch, COMMIT, "train.parquet", "test.parquet");
    fetch.run(&["sample.toml"]).success();
    let path = fetch.bench.file(&format!("home/hub/datasets--owner--name/snapshots/{COMMIT}/train.parquet"));
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(train.len() as u64 / 2).unwrap();
    let checked = || {
        let mut command = fetch.bench.command(&["check", "sample.toml"]);
        Outcome::of(command.env("HF_HOME", fetch.bench.file("home")).output().unwrap())
    };
    let expected = format!("expected {} bytes", train.len());
    checked().fails(checked().code.unwrap(), &["incomplete", &expected, "cargo xtask fetch", "--force"]);
    assert_ne!(checked().code, Some(0));
    fetch.run(&["sample.toml"]).success();
    assert_eq!(checked().code, Some(0), "{}", checked().stderr);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_with_the_space_that_the_file_takes() {
    let hub = model();
    let fetch = Fetch::from(&hub);
    fs::create_dir_all(fetch.part().parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/full", fetch.part()).unwrap();
    fetch.run(&[MODEL]).fails(1, &["the disk is full", "400010 more bytes"]);
    fetch.has_not(WEIGHTS);
}

#[test]
fn a_pattern_brings_all_files_that_the_hub_lists_for_it() {
    let data = b"PAR1 rows PAR1";
    let name = |number: u32| format!("data/train-{number:05}-of-00002.parquet");
    let hub = HubServer::start("datasets/owner/name")
        .with_large(&name(0), data)
        .with_large(&name(1), data)
        .with_small("data/readme.txt", b"text")
        .with_large("b.parquet", data);
    let fetch = Fetch::from(&hub);
    dataset(&fetch, COMMIT, "{parts,data}/train-*.parquet", "b.parquet");
    fetch.run(&["sample.toml"]).success();
    let snapshot = fetch.bench.file(&format!("home/hub/datasets--owner--name/snapshots/{COMMIT}"));
    assert!((0..2).all(|number| snapshot.join(name(number)).exists()));
    assert!(!snapshot.join("data/readme.txt").exists(), "it was not asked for");
    // What is here is not asked for again, not even its name.
    let before = hub.requests().len();
    fetch.run(&["sample.toml"]).success();
    assert_eq!(hub.requests().len(), before);
    // A part that is gone is seen, and brought again.
    fs::remove_file(snapshot.join(name(0))).unwrap();
    fetch.run(&["sample.toml"]).success();
    assert!(snapshot.join(name(0)).exists());
}

#[test]
fn a_part_that_the_hub_does_not_have_is_named() {
    let data = b"PAR1 rows PAR1";
    let hub = HubServer::start("datasets/owner/name")
        .with_large("train-00000-of-00003.parquet", data)
        .with_large("train-00002-of-00003.parquet", data)
        .with_large("b.parquet", data);
    let fetch = Fetch::from(&hub);
    dataset(&fetch, COMMIT, "train-*.parquet", "b.parquet");
    fetch.run(&["sample.toml"]).fails(1, &["train-00000-of-00003.parquet", "missing: 1"]);
    dataset(&fetch, COMMIT, "other-*.parquet", "b.parquet");
    fetch.run(&["sample.toml"]).fails(1, &["has no file other-*.parquet"]);
}

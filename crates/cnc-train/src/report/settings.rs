//! Every setting in force, and the command that repeats the run.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use toml::{Table, Value};

use super::columns::name;
use super::format::NONE;
use super::view::RunView;

/// The settings of all runs; where several are shown, those that differ are marked.
pub(super) fn settings(runs: &[RunView]) -> Markup {
    let flat: Vec<BTreeMap<String, String>> = runs.iter().map(|run| flatten(&run.settings)).collect();
    let keys: BTreeSet<&String> = flat.iter().flat_map(BTreeMap::keys).collect();
    html! {
        details {
            summary { (keys.len()) " settings" }
            div.scroll tabindex="0" role="group" aria-label="Table of settings" {
                table.settings {
                    caption.hidden { "Every setting in force" }
                    thead { tr { th scope="col" { "Setting" } @for run in runs { th scope="col" { @if runs.len() > 1 { (name(&run.results, runs)) } @else { "Value" } } } } }
                    tbody { @for key in keys {
                        @let values: Vec<Option<&String>> = flat.iter().map(|settings| settings.get(key)).collect();
                        @let differs = values.windows(2).any(|pair| pair[0] != pair[1]);
                        tr.differs[differs] {
                            th scope="row" { code { (key) } @if differs { " " span.tag { "differs" } } }
                            @for value in values { td { @match value { Some(value) => code { (value) }, None => (NONE) } } }
                        }
                    } }
                }
            }
        }
    }
}

/// A table as dotted names and TOML values.
fn flatten(table: &Table) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    let mut waiting: Vec<(String, &Value)> = table.iter().map(|(key, value)| (key.clone(), value)).collect();
    while let Some((key, value)) = waiting.pop() {
        match value {
            Value::Table(inner) => waiting.extend(inner.iter().map(|(k, v)| (format!("{key}.{k}"), v))),
            value => {
                flat.insert(key, value.to_string());
            }
        }
    }
    flat
}

/// How to repeat each run.
pub(super) fn repeat(runs: &[RunView]) -> Markup {
    html! {
        p.lede {
            "In the run folder, where " code { "config.toml" } " holds every setting, with version " (versions(runs)) " and the same data. On the same machine every figure comes out the same to the last bit, whatever the number of threads."
        }
        @for run in runs {
            @if runs.len() > 1 { h3 { (name(&run.results, runs)) } }
            pre tabindex="0" role="group" aria-label="Command line" { code { (command(run)) } }
        }
    }
}

fn versions(runs: &[RunView]) -> String {
    let versions: BTreeSet<&str> = runs.iter().map(|run| run.results.version.as_str()).collect();
    versions.into_iter().collect::<Vec<_>>().join(", ")
}

fn command(run: &RunView) -> String {
    let results = &run.results;
    let mut command =
        format!("cnc-train {} --method {} --seed {}", quoted(&results.dataset), quoted(&results.method), results.seed);
    if let Some(limit) = results.limit {
        command.push_str(&format!(" --limit {limit}"));
    }
    command.push_str(" --config config.toml --out again");
    command
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:".contains(c));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_settings_get_dotted_names() {
        let table: Table = "a = 1\n[b]\nc = \"x\"\n[b.d]\ne = [1, 2]".parse().unwrap();
        let flat = flatten(&table);
        assert_eq!(flat["a"], "1");
        assert_eq!(flat["b.c"], "\"x\"");
        assert_eq!(flat["b.d.e"], "[1, 2]");
    }

    #[test]
    fn odd_names_are_quoted_for_the_shell() {
        assert_eq!(quoted("digits"), "digits");
        assert_eq!(quoted("my data; rm"), "'my data; rm'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}

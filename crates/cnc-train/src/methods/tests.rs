//! Recipes and methods fit: the general recipe names every setting of every method, and no other; that of a dataset says
//! only what differs.

use cnc_data::{Manifest, builtin};
use toml::{Table, Value};

use super::METHODS;
use crate::config::recipe::{Recipe, of_method_and_model, parse_assignment};

fn general(is_text: bool) -> Recipe {
    Recipe::general(is_text, std::iter::empty()).unwrap()
}

/// The general recipe for images, and those of the built-in datasets, by name.
fn recipes() -> Vec<(String, Recipe)> {
    let of_dataset = |name: &str| {
        let manifest = Manifest::open(name).unwrap();
        general(manifest.is_text()).of_dataset(&manifest).unwrap()
    };
    let own = builtin::names().map(|name| (name.to_owned(), of_dataset(name)));
    std::iter::once(("general".to_owned(), general(false))).chain(own).collect()
}

/// Everything that a recipe sets: the settings of every method, and of CNC those of its published step too.
fn effective(recipe: &Recipe) -> Vec<Table> {
    let published = [(String::new(), parse_assignment("loss=published").unwrap())];
    let methods = METHODS.iter().map(|method| recipe.settings(method.name, &[]).unwrap());
    methods.chain([recipe.settings("cnc", &published).unwrap()]).collect()
}

/// The table without one of its values, for each of them.
fn without_one(table: &Table) -> Vec<(String, Table)> {
    let mut all = Vec::new();
    for (key, value) in table {
        let mut rest = table.clone();
        rest.remove(key);
        match value {
            Value::Table(inner) => {
                for (name, inner) in without_one(inner) {
                    let whole = Table::from_iter([(key.clone(), Value::Table(inner))]);
                    all.push((format!("{key}.{name}"), rest.clone().into_iter().chain(whole).collect()));
                }
            }
            _ => all.push((key.clone(), rest)),
        }
    }
    all
}

#[test]
fn no_recipe_of_a_dataset_repeats_what_it_would_have_without() {
    for name in builtin::names() {
        let manifest = Manifest::open(name).unwrap();
        let laid =
            |own: &str| effective(&general(manifest.is_text()).overlaid(&Recipe::parse(name, own).unwrap()).unwrap());
        let text = builtin::recipe(name).unwrap();
        let whole = laid(text);
        let is_repeated = |(_, rest): &(String, Table)| laid(&rest.to_string()) == whole;
        let repeated: Vec<String> =
            without_one(&text.parse().unwrap()).into_iter().filter(is_repeated).map(|(key, _)| key).collect();
        // The model is named for the reader, and weights are for those who know the hub.
        let repeated: Vec<_> = repeated.iter().filter(|key| !["model", "weights"].contains(&key.as_str())).collect();
        assert!(repeated.is_empty(), "{name}: {repeated:?} would have the same values without being named");
    }
}

#[test]
fn every_value_of_a_recipe_has_a_tag_that_its_head_explains() {
    let general = ("general", include_str!("../../recipe.toml"));
    for (name, text) in builtin::names().map(|name| (name, builtin::recipe(name).unwrap())).chain([general]) {
        let head: String = text.lines().take_while(|line| line.starts_with('#')).collect();
        for line in text.lines().filter(|line| !line.starts_with(['#', '['])) {
            let Some((key, value)) = line.split_once(" = ").filter(|(key, _)| !key.ends_with("from")) else { continue };
            let tag = value.split_once("# [").and_then(|(_, comment)| comment.split([' ', ']']).next());
            let Some(tag) = tag else { panic!("{name}: `{key}` has no tag") };
            assert!(head.contains(&format!("[{tag}]")), "{name}: the head does not explain [{tag}] of `{key}`");
        }
    }
}

#[test]
fn every_recipe_names_every_setting_of_every_method_and_no_other() {
    for (origin, recipe) in recipes() {
        for method in METHODS {
            let settings = recipe.settings(method.name, &[]).unwrap_or_else(|e| panic!("{origin}: {e}"));
            let (settings, _) = of_method_and_model(&settings);
            if let Err(error) = (method.build)(&settings) {
                panic!("{origin}: {error}");
            }
            for key in settings.keys() {
                let mut without = settings.clone();
                without.remove(key);
                let Err(error) = (method.build)(&without) else {
                    panic!("{origin}: `{}` does without `{key}`", method.name);
                };
                assert!(error.to_string().contains(key), "{origin}, {}, without {key}: {error}", method.name);
            }
            let mut more = settings.clone();
            more.insert("no_such_setting".to_owned(), 1.into());
            let error = (method.build)(&more).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("no_such_setting"), "{origin}, {}: {error}", method.name);
        }
    }
}

#[test]
fn a_negative_whole_number_is_refused_by_its_name_wherever_it_stands() {
    let (_, recipe) = recipes().remove(0);
    for method in METHODS {
        let (settings, _) = of_method_and_model(&recipe.settings(method.name, &[]).unwrap());
        for (key, value) in &settings {
            let names: Vec<String> = match value {
                Value::Integer(_) => vec![key.clone()],
                Value::Table(inner) => {
                    inner.iter().filter(|(_, v)| v.is_integer()).map(|(name, _)| format!("{key}.{name}")).collect()
                }
                _ => vec![],
            };
            for name in names {
                let given = vec![("--set".to_owned(), parse_assignment(&format!("{name}=-1")).unwrap())];
                let (wrong, _) = of_method_and_model(&recipe.settings(method.name, &given).unwrap());
                let error = (method.build)(&wrong).err().unwrap().to_string();
                assert!(error.contains(&format!("`{name}`")) && error.contains("expected"), "{}: {error}", method.name);
            }
        }
    }
}

#[test]
fn every_method_says_where_it_is_from_and_ends_with_a_stage_of_its_name() {
    for method in METHODS {
        assert!(!method.source.is_empty() && !method.title.is_empty());
        assert_eq!(method.stages.last(), Some(&method.name));
    }
}

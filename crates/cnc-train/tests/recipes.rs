//! Recipes and methods fit: a recipe names every setting of every method, and no other.

use cnc_data::builtin;
use cnc_train::methods::METHODS;
use cnc_train::recipe::{Recipe, of_method_and_model, parse_assignment};

/// The general recipe and those of the built-in datasets, by name.
fn recipes() -> Vec<(String, String)> {
    let general = ("general".to_owned(), include_str!("../../../datasets/recipe.toml").to_owned());
    let own = builtin::names().map(|name| (name.to_owned(), builtin::recipe(name).unwrap().to_owned()));
    std::iter::once(general).chain(own).collect()
}

#[test]
fn every_recipe_names_every_setting_of_every_method_and_no_other() {
    for (origin, text) in recipes() {
        let recipe = Recipe::parse(&origin, &text).unwrap();
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
    let (origin, text) = recipes().remove(0);
    let recipe = Recipe::parse(&origin, &text).unwrap();
    for method in METHODS {
        let (settings, _) = of_method_and_model(&recipe.settings(method.name, &[]).unwrap());
        for (key, value) in &settings {
            let names: Vec<String> = match value {
                toml::Value::Integer(_) => vec![key.clone()],
                toml::Value::Table(inner) => {
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

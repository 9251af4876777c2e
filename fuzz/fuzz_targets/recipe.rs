//! `recipe.toml` and `--set`: anything, but a panic. The first line is a setting, the rest a recipe that is laid over
//! the general one.
#![no_main]

use cnc_train::methods::METHODS;
use cnc_train::recipe::{Recipe, parse_assignment};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (assignment, own) = text.split_once('\n').unwrap_or((text, ""));
    let general = Recipe::parse("general", include_str!("../../datasets/recipe.toml")).expect("the general recipe");
    let given: Vec<_> = parse_assignment(assignment).into_iter().map(|table| (assignment.to_owned(), table)).collect();
    let recipe = match Recipe::parse("own", own).and_then(|own| general.clone().overlaid(&own)) {
        Ok(recipe) => recipe,
        Err(_) => general,
    };
    for method in METHODS {
        if let Ok(settings) = recipe.settings(method.name, &given) {
            let _ = (method.build)(&settings);
        }
    }
});

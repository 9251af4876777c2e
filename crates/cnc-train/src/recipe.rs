//! Recipes: the hyper-parameters of every method on a dataset, as `recipe.toml` holds them.
//!
//! At its top a recipe has what is for every method: the model, its weights, and whether activations are recomputed. Below
//! it has a table a method, and names every setting of it: a key that the recipe does not name does not exist, so that a
//! misspelt one is an error wherever it comes from. `[cnc-published]` holds what changes in `[cnc]` when
//! `loss = "published"` is chosen. What a user gives (a configuration file, then `--set`) is laid over the recipe, and the
//! outcome becomes a checked settings struct once.

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::error::{UsageError, did_you_mean};

/// The setting of every method whether a training step keeps all activations for its backward pass, or computes most of
/// them again to save memory.
const CHECKPOINT_ACTIVATIONS: &str = "checkpoint_activations";
/// The settings of models of text, which every method has where the recipe is for texts.
const OF_TEXT: [&str; 2] = ["pooling", "freeze"];

/// The recipe of a dataset.
#[derive(Debug, Clone)]
pub struct Recipe {
    origin: String,
    table: Table,
    /// Whether it is for texts: then every method has the settings of their models.
    is_text: bool,
}

impl Recipe {
    /// Read a recipe.
    ///
    /// # Errors
    /// When the text is not TOML, or something else than tables of methods and the name of the model stands at its top.
    pub fn parse(origin: &str, text: &str) -> Result<Self, UsageError> {
        let mut table: Table = text.parse().map_err(|e| UsageError(format!("{origin}: not a TOML file: {e}")))?;
        for (key, value) in &table {
            let fits = match key.as_str() {
                "model" | "weights" => value.is_str(),
                CHECKPOINT_ACTIVATIONS => value.is_bool(),
                name if OF_TEXT.contains(&name) => value.is_str(),
                _ => value.is_table(),
            };
            if !fits {
                return Err(UsageError(format!(
                    "{origin}: `{key}`: expected `model = \"name\"`, `weights = \"owner/name\"`, \
                     `checkpoint_activations = false` and one table a method, like `[erm]`"
                )));
            }
        }
        // Which file the weights are in is for those who know the hub.
        table.remove("weights");
        Ok(Self { origin: origin.to_owned(), table, is_text: false })
    }

    /// This recipe for texts, and the model that is usual there.
    #[must_use]
    pub fn for_text(mut self) -> Self {
        self.table.insert("model".to_owned(), "bert".into());
        self.is_text = true;
        self
    }

    /// This recipe with the tables of another laid over it: a user's recipe over the general one of its kind.
    ///
    /// # Errors
    /// When the other names a method or a setting that this one does not have.
    pub fn overlaid(mut self, other: &Recipe) -> Result<Self, UsageError> {
        for (name, value) in &other.table {
            let variant_of = name.split_once('-').and_then(|(method, _)| self.section(method)).cloned();
            match (variant_of, value) {
                // A variant may change whatever its method has, also what the general variant leaves alone.
                (Some(mut method), Value::Table(changes)) => {
                    overlay(&mut method, changes, &other.origin, "")?;
                    let own = self.table.entry(name).or_insert_with(|| Value::Table(Table::new()));
                    merge(own, value);
                }
                _ => overlay(&mut self.table, &Table::from_iter([(name.clone(), value.clone())]), &other.origin, "")?,
            }
        }
        self.origin.clone_from(&other.origin);
        Ok(self)
    }

    /// Name of the model that the recipe is for.
    ///
    /// # Errors
    /// When the recipe names none.
    pub fn model(&self) -> Result<&str, UsageError> {
        self.table.get("model").and_then(Value::as_str).ok_or_else(|| {
            UsageError(format!("{}: `model` is missing; add for example model = \"lenet\"", self.origin))
        })
    }

    /// The settings of a method, and those of models, which are for every method, with the given ones laid over, in order;
    /// later ones win.
    ///
    /// # Errors
    /// When the recipe has no table for the method, or a given key or value does not fit it.
    pub fn settings(&self, method: &str, given: &[(String, Table)]) -> Result<Table, UsageError> {
        let mut settings = self
            .section(method)
            .cloned()
            .ok_or_else(|| UsageError(format!("{}: no table `[{method}]`", self.origin)))?;
        let of_text = OF_TEXT.into_iter().filter(|_| self.is_text);
        for name in of_text.chain([CHECKPOINT_ACTIVATIONS]) {
            settings.extend(self.table.get(name).map(|value| (name.to_owned(), value.clone())));
        }
        let variant = given.iter().rev().find_map(|(_, table)| table.get("loss").and_then(Value::as_str));
        if let Some(changes) = variant.and_then(|name| self.section(&format!("{method}-{name}"))) {
            overlay(&mut settings, changes, &self.origin, "")?;
        }
        for (origin, table) in given {
            overlay(&mut settings, table, origin, "")?;
        }
        Ok(settings)
    }

    fn section(&self, name: &str) -> Option<&Table> {
        self.table.get(name).and_then(Value::as_table)
    }
}

/// The settings of a method alone, and those of its models.
#[must_use]
pub fn of_method_and_model(settings: &Table) -> (Table, Table) {
    let of_model = |name: &str| name == CHECKPOINT_ACTIVATIONS || OF_TEXT.contains(&name);
    settings.clone().into_iter().partition(|(name, _)| !of_model(name))
}

/// `key=value` of the command line as a table: `optimizer.momentum=0.9` names a setting inside a table.
///
/// # Errors
/// When there is no `=` or no key.
pub fn parse_assignment(text: &str) -> Result<Table, UsageError> {
    let (path, value) = text
        .split_once('=')
        .filter(|(path, _)| !path.trim().is_empty())
        .ok_or_else(|| UsageError(format!("--set {text}: expected key=value, for example --set temperature=0.1")))?;
    let value = value.trim();
    // A value that is no TOML by itself is a word: `loss=published` needs no quotes.
    let value = format!("v = {value}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("v"))
        .unwrap_or_else(|| Value::String(value.to_owned()));
    let mut names: Vec<&str> = path.trim().split('.').collect();
    let mut table = Table::new();
    if let Some(last) = names.pop() {
        table.insert(last.to_owned(), value);
    }
    while let Some(name) = names.pop() {
        table = Table::from_iter([(name.to_owned(), Value::Table(table))]);
    }
    Ok(table)
}

/// Turn a settings table into the struct of a method, which has exactly the table's keys.
///
/// # Errors
/// When a key is missing or unknown, or a value is not one of the valid ones; the message names the key.
pub fn checked<T: DeserializeOwned + Serialize>(method: &str, settings: &Table) -> Result<T, UsageError> {
    // No setting is a negative whole number. Found here, it is named with its full key.
    if let Some((name, value)) = negative(settings, "") {
        return Err(UsageError(format!("setting `{name}` is {value}, expected a whole number of at least 0")));
    }
    let read: T = Value::Table(settings.clone())
        .try_into()
        .map_err(|e: toml::de::Error| UsageError(format!("settings of `{method}`: {}", e.to_string().trim())))?;
    let known = Table::try_from(&read).map_err(|e| UsageError(format!("settings of `{method}`: {e}")))?;
    let valid = dotted_keys(&known, "");
    match dotted_keys(settings, "").into_iter().find(|name| !valid.contains(name)) {
        None => Ok(read),
        Some(name) => {
            let hint = did_you_mean(&name, valid.iter().map(String::as_str));
            Err(UsageError(format!(
                "settings of `{method}`: unknown setting `{name}`{hint}\n  valid here: {}",
                valid.join(", ")
            )))
        }
    }
}

/// The first negative whole number of a table, by its dotted name.
fn negative(table: &Table, path: &str) -> Option<(String, i64)> {
    table.iter().find_map(|(key, value)| {
        let name = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value {
            Value::Integer(number) if *number < 0 => Some((name, *number)),
            Value::Table(inner) => negative(inner, &name),
            _ => None,
        }
    })
}

fn overlay(base: &mut Table, over: &Table, origin: &str, path: &str) -> Result<(), UsageError> {
    for (key, value) in over {
        let name = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let Some(current) = base.get_mut(key) else {
            let valid = dotted_keys(base, path);
            let hint = did_you_mean(&name, valid.iter().map(String::as_str));
            return Err(UsageError(format!(
                "{origin}: unknown setting `{name}`{hint}\n  valid here: {}",
                valid.join(", ")
            )));
        };
        match (current, value) {
            (Value::Table(current), Value::Table(value)) => overlay(current, value, origin, &name)?,
            (Value::Float(current), Value::Integer(value)) => *current = *value as f64,
            (current, value) if current.type_str() == value.type_str() => *current = value.clone(),
            (current, value) => {
                return Err(UsageError(format!(
                    "{origin}: `{name}` is {} {value}, expected {} like {current}",
                    value.type_str(),
                    current.type_str()
                )));
            }
        }
    }
    Ok(())
}

/// Put every value of `over` in its place in `base`, which need not have it.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Table(base), Value::Table(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert_with(|| Value::Table(Table::new())), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// The names of all settings of a table, those inside tables as `table.name`.
fn dotted_keys(table: &Table, path: &str) -> Vec<String> {
    let mut keys = Vec::new();
    for (key, value) in table {
        let name = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value {
            Value::Table(inner) => keys.extend(dotted_keys(inner, &name)),
            _ => keys.push(name),
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
model = "lenet"
[cnc]
loss = "dense"
temperature = 0.05
steps = 100
optimizer = { name = "sgd", learning_rate = 1e-2 }
[cnc-published]
steps = 7
"#;

    fn given(text: &str) -> Vec<(String, Table)> {
        vec![(format!("--set {text}"), parse_assignment(text).unwrap())]
    }

    fn settings(text: &str) -> Result<Table, UsageError> {
        Recipe::parse("recipe.toml", TEXT).unwrap().settings("cnc", &given(text))
    }

    #[test]
    fn a_given_value_replaces_the_recipes_and_whole_numbers_serve_as_fractions() {
        assert_eq!(settings("temperature=1").unwrap()["temperature"], Value::Float(1.0));
        assert_eq!(settings("optimizer.learning_rate=0.5").unwrap()["optimizer"]["learning_rate"], Value::Float(0.5));
    }

    #[test]
    fn a_misspelt_key_is_refused_and_the_nearest_named() {
        let message = settings("temprature=0.05").unwrap_err().to_string();
        assert!(message.contains("`temprature`") && message.contains("did you mean `temperature`"), "{message}");
        let message = settings("optimizer.learning-rate=1").unwrap_err().to_string();
        assert!(message.contains("did you mean `optimizer.learning_rate`"), "{message}");
        let message = settings("learning_rate=1").unwrap_err().to_string();
        assert!(message.contains("did you mean `optimizer.learning_rate`"), "{message}");
    }

    #[test]
    fn what_is_for_every_method_is_set_like_a_setting_of_one() {
        let recipe = Recipe::parse("recipe.toml", &format!("checkpoint_activations = false\n{TEXT}")).unwrap();
        let (of_cnc, of_model) =
            of_method_and_model(&recipe.settings("cnc", &given("checkpoint_activations=true")).unwrap());
        assert_eq!(of_model.get(CHECKPOINT_ACTIVATIONS), Some(&Value::Boolean(true)));
        assert_eq!(of_cnc, settings("temperature=0.05").unwrap());
        assert_eq!(
            of_method_and_model(&recipe.settings("cnc", &[]).unwrap()).1.get(CHECKPOINT_ACTIVATIONS),
            Some(&Value::Boolean(false))
        );
        let message = recipe.settings("cnc", &given("checkpoint_activation=true")).unwrap_err().to_string();
        assert!(message.contains("did you mean `checkpoint_activations`?"), "{message}");
        let message = recipe.settings("cnc", &given("checkpoint_activations=1")).unwrap_err().to_string();
        assert!(message.contains("is integer 1, expected boolean"), "{message}");
        let error = Recipe::parse("recipe.toml", "checkpoint_activations = 1\n").unwrap_err().to_string();
        assert!(error.contains("`checkpoint_activations`: expected"), "{error}");
    }

    #[test]
    fn a_number_given_as_a_string_is_refused() {
        let message = settings("temperature=\"1e-4\"").unwrap_err().to_string();
        assert!(message.contains("`temperature` is string") && message.contains("expected float"), "{message}");
    }

    #[test]
    fn a_recipe_of_ones_own_changes_single_values_of_the_general_one_and_of_its_variants() {
        let own = "[cnc]\nsteps = 3\n[cnc-published]\noptimizer.learning_rate = 0.25\n";
        let recipe = Recipe::parse("general", TEXT).unwrap().overlaid(&Recipe::parse("own", own).unwrap()).unwrap();
        assert_eq!(recipe.settings("cnc", &[]).unwrap()["steps"], Value::Integer(3));
        let published = recipe.settings("cnc", &given("loss=published")).unwrap();
        assert_eq!(published["steps"], Value::Integer(7));
        assert_eq!(published["optimizer"]["learning_rate"], Value::Float(0.25));
        let typo = Recipe::parse("own", "[cnc-published]\nstepz = 3\n").unwrap();
        let message = Recipe::parse("general", TEXT).unwrap().overlaid(&typo).unwrap_err().to_string();
        assert!(message.contains("own: unknown setting `stepz`; did you mean `steps`?"), "{message}");
    }

    #[test]
    fn choosing_a_variant_brings_its_settings_and_given_ones_still_win() {
        assert_eq!(settings("loss=published").unwrap()["steps"], Value::Integer(7));
        let recipe = Recipe::parse("recipe.toml", TEXT).unwrap();
        let both = [given("loss=published"), given("steps=9")].concat();
        assert_eq!(recipe.settings("cnc", &both).unwrap()["steps"], Value::Integer(9));
    }
}

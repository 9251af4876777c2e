//! Recipes: the hyper-parameters of every method on a dataset, as `recipe.toml` holds them.
//!
//! At its top a recipe has what is for every method: the model, its weights, and whether activations are recomputed. Below
//! it has tables. The general recipe names every setting of every method: a key that it does not name does not exist, so
//! that a misspelt one is an error wherever it comes from. What methods share stands there once, in a table that theirs
//! start `from`. The recipe of a dataset holds what differs, in a method's table or in a shared one.
//!
//! `[cnc-published]` holds what changes in `[cnc]` when `loss = "published"` is chosen where the recipe has another. What a
//! user gives (a configuration file, then `--set`) is laid over the recipe, and the outcome becomes a checked settings
//! struct once.

use cnc_data::Manifest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::given::one_length;
use crate::error::UsageError;
use cnc_base::names::did_you_mean;

/// The setting of every method whether a training step keeps all activations for its backward pass, or computes most of
/// them again to save memory.
const CHECKPOINT_ACTIVATIONS: &str = "checkpoint_activations";
/// The settings of models of text, which every method has where the recipe is for texts.
const OF_TEXT: [&str; 2] = ["pooling", "freeze"];
/// The key that names the table which another one starts from, for example `"training"` or `"dfr.stage1"`.
const FROM: &str = "from";

/// The recipe of a dataset.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    origin: String,
    /// As it is written: tables hold what differs from those that they start from.
    table: Table,
    /// Whether it is for texts: then every method has the settings of their models.
    is_text: bool,
}

impl Recipe {
    /// Read a recipe.
    ///
    /// # Errors
    /// When the text is not TOML, or something else than tables of methods and the name of the model stands at its top.
    pub(crate) fn parse(origin: &str, text: &str) -> Result<Self, UsageError> {
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

    /// The general recipe of a kind of inputs, with the tables of further methods, which may start `from` a shared one.
    ///
    /// # Errors
    /// When a table of a method is no TOML.
    pub(crate) fn general<'a>(
        is_text: bool,
        further: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, UsageError> {
        let mut general = Self::parse("general recipe", include_str!("../../recipe.toml"))?;
        for (method, settings) in further {
            let table: Table =
                settings.parse().map_err(|e| UsageError(format!("settings of method `{method}`: not TOML: {e}")))?;
            general.table.insert(method.to_owned(), Value::Table(table));
        }
        Ok(if is_text { general.for_text() } else { general })
    }

    /// This recipe with that of a dataset laid over it, where it has one.
    ///
    /// # Errors
    /// When the dataset's own cannot be read, or names what this one does not have.
    pub(crate) fn of_dataset(self, manifest: &Manifest) -> Result<Self, UsageError> {
        match manifest.recipe().map_err(|e| UsageError(e.to_string()))? {
            None => Ok(self),
            Some(own) => self.overlaid(&Self::parse(&own.file, &own.text)?),
        }
    }

    /// This recipe for texts, and the model that is usual there.
    #[must_use]
    fn for_text(mut self) -> Self {
        self.table.insert("model".to_owned(), "bert".into());
        self.is_text = true;
        self
    }

    /// This recipe with the tables of another laid over it: that of a dataset over the general one.
    ///
    /// # Errors
    /// When the other names a method or a setting that this one does not have.
    pub(crate) fn overlaid(mut self, other: &Recipe) -> Result<Self, UsageError> {
        let whole = self.completed(&self.table, &[])?;
        for (name, value) in &other.table {
            let variant_of = name.split_once('-').and_then(|(method, _)| whole.get(method)?.as_table());
            let changes = match (variant_of, value) {
                // A variant may change whatever its method has, also what the general variant leaves alone.
                (Some(method), Value::Table(changes)) => {
                    let changes = fitted(method, changes, &other.origin, "")?;
                    Table::from_iter([(name.clone(), Value::Table(changes))])
                }
                _ => fitted(&whole, &Table::from_iter([(name.clone(), value.clone())]), &other.origin, "")?,
            };
            merge(&mut self.table, changes);
        }
        self.origin.clone_from(&other.origin);
        Ok(self)
    }

    /// Name of the model that the recipe is for.
    ///
    /// # Errors
    /// When the recipe names none.
    pub(crate) fn model(&self) -> Result<&str, UsageError> {
        self.table.get("model").and_then(Value::as_str).ok_or_else(|| {
            UsageError(format!("{}: `model` is missing; add for example model = \"lenet\"", self.origin))
        })
    }

    /// The settings of a method, and those of models, which are for every method, with the given ones laid over, in order;
    /// later ones win.
    ///
    /// # Errors
    /// When the recipe has no table for the method, or a given key or value does not fit it.
    pub(crate) fn settings(&self, method: &str, given: &[(String, Table)]) -> Result<Table, UsageError> {
        let mut settings = self
            .section(method)
            .ok_or_else(|| UsageError(format!("{}: no table `[{method}]`", self.origin)))
            .and_then(|table| self.completed(table, &[]))?;
        let of_text = OF_TEXT.into_iter().filter(|_| self.is_text);
        for name in of_text.chain([CHECKPOINT_ACTIVATIONS]) {
            settings.extend(self.table.get(name).map(|value| (name.to_owned(), value.clone())));
        }
        let loss = |table: &Table| table.get("loss").and_then(Value::as_str).map(str::to_owned);
        let chosen =
            given.iter().rev().find_map(|(_, table)| loss(table)).filter(|name| loss(&settings).as_ref() != Some(name));
        let variant = chosen.and_then(|name| self.section(&format!("{method}-{name}")));
        let variant = variant.map(|changes| (&self.origin, changes));
        if let Some((origin, changes)) = variant {
            let changes = fitted(&settings, changes, origin, "")?;
            merge(&mut settings, changes);
        }
        let [file, sets] = layers(given);
        for layer in [file, sets] {
            for (origin, changes) in layer {
                let changes = fitted(&settings, changes, origin, "")?;
                merge(&mut settings, changes);
            }
            one_length(&mut settings, &layer.iter().map(|(_, table)| table).collect::<Vec<_>>());
        }
        Ok(settings)
    }

    fn section(&self, name: &str) -> Option<&Table> {
        self.table.get(name).and_then(Value::as_table)
    }

    /// A table of this recipe laid over those that it, and the tables inside it, start from. `below` are the names of the
    /// tables that led here.
    fn completed(&self, table: &Table, below: &[&str]) -> Result<Table, UsageError> {
        let mut whole = match table.get(FROM).and_then(Value::as_str) {
            None => Table::new(),
            Some(name) => {
                let wrong = |problem| UsageError(format!("{}: `{FROM} = \"{name}\"`: {problem}", self.origin));
                if below.contains(&name) {
                    return Err(wrong("it would start from itself"));
                }
                let mut names = name.split('.');
                let base = names.try_fold(&self.table, |table, name| table.get(name)?.as_table());
                let base = base.ok_or_else(|| wrong("there is no such table"))?;
                self.completed(base, &[below, &[name]].concat())?
            }
        };
        for (key, value) in table.iter().filter(|(key, _)| *key != FROM) {
            let value = match value {
                Value::Table(inner) => Value::Table(self.completed(inner, below)?),
                value => value.clone(),
            };
            merge(&mut whole, Table::from_iter([(key.clone(), value)]));
        }
        Ok(whole)
    }
}

/// The given settings of a file, and those of `--set` over them.
pub(crate) fn layers(given: &[(String, Table)]) -> [&[(String, Table)]; 2] {
    given.split_at(given.iter().take_while(|(origin, _)| !origin.starts_with("--set")).count()).into()
}

/// The settings of a method alone, and those of its models.
#[must_use]
pub(crate) fn of_method_and_model(settings: &Table) -> (Table, Table) {
    let of_model = |name: &str| name == CHECKPOINT_ACTIVATIONS || OF_TEXT.contains(&name);
    settings.clone().into_iter().partition(|(name, _)| !of_model(name))
}

/// `key=value` of the command line as a table: `optimizer.momentum=0.9` names a setting inside a table.
///
/// # Errors
/// When there is no `=` or no key.
pub(crate) fn parse_assignment(text: &str) -> Result<Table, UsageError> {
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
        // As Python writes numbers: `.5`, `5.`.
        .or_else(|| value.parse().ok().filter(|_| value.contains('.')).map(Value::Float))
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

/// The values of `over` in the kinds that `base` has them in: a whole number serves as a fraction.
fn fitted(base: &Table, over: &Table, origin: &str, path: &str) -> Result<Table, UsageError> {
    let fit = |(key, value): (&String, &Value)| {
        let name = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let Some(current) = base.get(key) else {
            let valid = dotted_keys(base, path);
            let hint = did_you_mean(&name, valid.iter().map(String::as_str));
            return Err(UsageError(format!(
                "{origin}: unknown setting `{name}`{hint}\n  valid here: {}",
                valid.join(", ")
            )));
        };
        let value = match (current, value) {
            (Value::Table(current), Value::Table(value)) => Value::Table(fitted(current, value, origin, &name)?),
            (Value::Float(_), Value::Integer(value)) => Value::Float(*value as f64),
            (current, value) if current.type_str() == value.type_str() => value.clone(),
            (current, value) => {
                return Err(UsageError(format!(
                    "{origin}: `{name}` is {} {value}, expected {} like {current}",
                    value.type_str(),
                    current.type_str()
                )));
            }
        };
        Ok((key.clone(), value))
    };
    over.iter().map(fit).collect()
}

/// Put every value of `over` in its place in `base`, which need not have it.
fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.entry(key).or_insert_with(|| Value::Table(Table::new())), value) {
            (Value::Table(base), Value::Table(over)) => merge(base, over),
            (base, value) => *base = value,
        }
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
    fn a_table_starts_from_another_and_what_changes_there_changes_here() {
        let general = "
[training]
steps = 100
optimizer = { name = \"sgd\", learning_rate = 1e-2 }
[jtt]
from = \"training\"
steps = 50
stage1.from = \"dfr.stage1\"
[dfr.stage1]
from = \"training\"
optimizer.name = \"adamw\"
";
        let general = || Recipe::parse("general", general).unwrap();
        let own = "[training]\nsteps = 7\noptimizer.learning_rate = 1\n[dfr]\nstage1.steps = 8\n";
        let recipe = general().overlaid(&Recipe::parse("own", own).unwrap()).unwrap();
        let expected = "
steps = 50
optimizer = { name = \"sgd\", learning_rate = 1.0 }
stage1 = { steps = 8, optimizer = { name = \"adamw\", learning_rate = 1.0 } }
";
        assert_eq!(recipe.settings("jtt", &[]).unwrap(), expected.parse().unwrap());
        for (own, expected) in [
            ("[jtt]\nstage1.optimizer.nane = \"sgd\"\n", "`jtt.stage1.optimizer.nane`; did you mean"),
            ("[training]\nstep = 1\n", "`training.step`; did you mean `training.steps`?"),
            ("[jtt]\nfrom = \"dfr\"\n", "own: unknown setting `jtt.from`"),
        ] {
            let message = general().overlaid(&Recipe::parse("own", own).unwrap()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_table_that_starts_from_none_or_from_itself_is_refused() {
        for (text, expected) in [
            ("[cnc]\nfrom = \"trainings\"\n", "general: `from = \"trainings\"`: there is no such table"),
            ("[cnc]\nfrom = \"erm\"\n[erm]\nfrom = \"cnc\"\n", "it would start from itself"),
        ] {
            let message = Recipe::parse("general", text).unwrap().settings("cnc", &[]).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn choosing_a_variant_brings_its_settings_and_given_ones_still_win() {
        assert_eq!(settings("loss=published").unwrap()["steps"], Value::Integer(7));
        let recipe = Recipe::parse("recipe.toml", TEXT).unwrap();
        let both = [given("loss=published"), given("steps=9")].concat();
        assert_eq!(recipe.settings("cnc", &both).unwrap()["steps"], Value::Integer(9));
        // It is what the recipe is for already.
        let recipe = Recipe::parse("recipe.toml", &TEXT.replace("dense", "published")).unwrap();
        assert_eq!(recipe.settings("cnc", &given("loss=published")).unwrap()["steps"], Value::Integer(100));
    }
}

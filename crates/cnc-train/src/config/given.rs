//! What settings that a user gives do to others: a length replaces the other way to say it, and one that another setting
//! switches off is told of.

use toml::{Table, Value};

/// A setting that was given and that does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Idle {
    /// Its name, with that of the tables that it stands in.
    pub(crate) name: String,
    /// Why it does nothing.
    reason: String,
}

impl Idle {
    /// It in a sentence.
    pub(crate) fn sentence(&self) -> String {
        format!("setting `{}` has no effect: {}", self.name, self.reason)
    }
}

/// A setting, and the one beside it that has to have a value for it to count.
const COUNTS_WITH: [(&str, &str, &str); 5] = [
    ("momentum", "name", "sgd"),
    ("warmup_steps", "schedule", "linear"),
    ("folds", "slices", "cross-fitted"),
    ("scale", "part", "resized-crop"),
    ("ratio", "part", "resized-crop"),
];

/// Those of the given settings that the settings in force switch off; `usual` are the recipe's, which a file may repeat, and
/// `sets` what was given for this run alone.
pub(crate) fn idle(in_force: &Table, usual: &Table, file: &[&Table], sets: &[&Table]) -> Vec<Idle> {
    let mut found = Vec::new();
    collect("", in_force, Some(usual), file, sets, &mut found);
    found
}

fn collect(
    path: &str,
    in_force: &Table,
    usual: Option<&Table>,
    file: &[&Table],
    sets: &[&Table],
    found: &mut Vec<Idle>,
) {
    for (key, value) in in_force {
        let usual = usual.and_then(|usual| usual.get(key));
        if let Value::Table(table) = value {
            let usual = usual.and_then(Value::as_table);
            collect(&format!("{path}{key}."), table, usual, &inner(file, key), &inner(sets, key), found);
            continue;
        }
        let is_given = sets.iter().any(|table| table.contains_key(key))
            || file.iter().filter_map(|table| table.get(key)).any(|given| Some(given) != usual);
        if let Some(reason) = switched_off(key, path, in_force).filter(|_| is_given) {
            found.push(Idle { name: format!("{path}{key}"), reason });
        }
    }
}

/// The tables of that name in tables.
fn inner<'a>(tables: &[&'a Table], key: &str) -> Vec<&'a Table> {
    tables.iter().filter_map(|table| table.get(key)?.as_table()).collect()
}

/// Why a setting of a table does nothing, if it does nothing.
fn switched_off(key: &str, path: &str, table: &Table) -> Option<String> {
    let number =
        |name: &str| table.get(name).and_then(|value| value.as_float().or(value.as_integer().map(|n| n as f64)));
    for (name, beside, needed) in COUNTS_WITH {
        let found = table.get(beside).and_then(Value::as_str);
        if let (true, Some(found)) = (key == name, found.filter(|found| *found != needed)) {
            return Some(format!("it counts with `{path}{beside} = \"{needed}\"`, and that is \"{found}\""));
        }
    }
    match key {
        "temperature" | "sides" if number("contrastive_weight") == Some(0.0) => {
            Some(format!("`{path}contrastive_weight` is 0, so nothing is contrasted"))
        }
        "flip" if table.get("part").and_then(Value::as_str) == Some("manifest") => {
            Some(format!("`{path}part` is \"manifest\", whose [transform] says it"))
        }
        "similarity" if number("members") == Some(1.0) => {
            Some(format!("`{path}members` is 1, so there are no earlier ones"))
        }
        _ => None,
    }
}

/// Have `steps` of a layer replace the `epochs` that are below it, and the other way round, in each table that has both;
/// where one layer says both they are left to be refused.
pub(crate) fn one_length(settings: &mut Table, layer: &[&Table]) {
    let says = |key: &str| {
        let last = layer.iter().rev().find_map(|table| table.get(key));
        last.and_then(Value::as_integer).is_some_and(|length| length > 0)
    };
    let replaced = match (says("steps"), says("epochs")) {
        (true, false) => Some("epochs"),
        (false, true) => Some("steps"),
        _ => None,
    };
    if settings.contains_key("steps")
        && let Some(length) = replaced.and_then(|name| settings.get_mut(name))
    {
        *length = Value::Integer(0);
    }
    for (key, value) in settings {
        if let Value::Table(table) = value {
            one_length(table, &inner(layer, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    #[test]
    fn a_setting_that_another_switches_off_is_told_where_it_is_given() {
        let usual = table("slices = 'prediction'\nfolds = 2\n[optimizer]\nname = 'sgd'\nmomentum = 0.9\n");
        let in_force = table("slices = 'prediction'\nfolds = 5\n[optimizer]\nname = 'adamw'\nmomentum = 0.9\n");
        let names = |file: &Table, sets: &[&Table]| -> Vec<String> {
            idle(&in_force, &usual, &[file], sets).into_iter().map(|idle| idle.name).collect()
        };
        assert_eq!(names(&in_force, &[]), ["folds"], "a file that repeats the recipe gives nothing");
        let momentum = table("optimizer.momentum = 0.9");
        assert_eq!(names(&Table::new(), &[&momentum]), ["optimizer.momentum"]);
        assert_eq!(names(&Table::new(), &[]), Vec::<String>::new());
        let found = idle(&in_force, &usual, &[], &[&momentum]);
        assert_eq!(
            found[0].sentence(),
            "setting `optimizer.momentum` has no effect: it counts with `optimizer.name = \"sgd\"`, and that is \"adamw\""
        );
    }

    #[test]
    fn one_way_to_say_a_length_replaces_the_other() {
        let recipe = table("steps = 0\nepochs = 5\n[stage1]\nsteps = 7\nepochs = 0\n");
        let laid = |text: &str, layer: &[&str]| {
            let (mut settings, layer): (_, Vec<Table>) = (table(text), layer.iter().map(|text| table(text)).collect());
            one_length(&mut settings, &layer.iter().collect::<Vec<_>>());
            [&settings, settings["stage1"].as_table().unwrap()]
                .map(|of| (of["steps"].as_integer().unwrap(), of["epochs"].as_integer().unwrap()))
        };
        let with = |key: &str, value: i64| {
            let mut recipe = recipe.clone();
            recipe.insert(key.to_owned(), value.into());
            recipe.to_string()
        };
        assert_eq!(laid(&with("steps", 20), &["steps = 20"]), [(20, 0), (7, 0)]);
        assert_eq!(laid(&with("steps", 20), &["steps = 20", "epochs = 5"]), [(20, 5), (7, 0)]);
        assert_eq!(laid(&with("epochs", 3), &["epochs = 3"]), [(0, 3), (7, 0)]);
        let inner = table("steps = 0\nepochs = 5\n[stage1]\nsteps = 7\nepochs = 2\n").to_string();
        assert_eq!(laid(&inner, &["stage1.epochs = 2"]), [(0, 5), (0, 2)]);
        let only = table("steps = 3\n[stage1]\nsteps = 1\nepochs = 0\n");
        let mut afr = only.clone();
        one_length(&mut afr, &[&table("steps = 3")]);
        assert_eq!(afr, only);
    }
}

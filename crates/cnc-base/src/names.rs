//! The valid name nearest to one that is not valid, for messages.

/// The candidate that looks most like `word` (Damerau-Levenshtein distance, the first one in a tie).
///
/// ```
/// assert_eq!(cnc_base::names::nearest("temprature", ["learning_rate", "temperature"]), Some("temperature"));
/// ```
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates.into_iter().min_by_key(|candidate| strsim::damerau_levenshtein(word, candidate))
}

/// The valid name nearest to `name`, as `; did you mean ...?`, or nothing when there is none. Of a dotted name its last
/// part counts as well: `learning_rate` is near `optimizer.learning_rate`.
#[must_use]
pub fn did_you_mean<'a>(name: &str, valid: impl IntoIterator<Item = &'a str>) -> String {
    let last = |candidate: &'a str| candidate.rsplit('.').next().unwrap_or(candidate);
    let valid: Vec<&str> = valid.into_iter().collect();
    nearest(name, valid.iter().flat_map(|candidate| [candidate, last(candidate)]))
        .and_then(|found| valid.iter().find(|candidate| [**candidate, last(candidate)].contains(&found)))
        .map(|candidate| format!("; did you mean `{candidate}`?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_dotted_name_the_last_part_counts_as_well() {
        let valid = ["epochs", "optimizer.learning_rate"];
        assert_eq!(did_you_mean("learning_rat", valid), "; did you mean `optimizer.learning_rate`?");
        assert_eq!(did_you_mean("epoch", valid), "; did you mean `epochs`?");
        assert_eq!(did_you_mean("epoch", []), "");
    }
}

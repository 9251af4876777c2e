//! What somebody who does not see the page, or has no pointer, can do with it.

use std::collections::BTreeSet;

use super::runs::{one_stage, two_stages};
use crate::report::render;

/// All values of an attribute.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    page.split(start.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn a_page_can_be_read_without_seeing_it() {
    for page in [render(&[two_stages()]), render(&[one_stage()]), render(&[two_stages(), one_stage()])] {
        let ids = values(&page, "id");
        assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "ids are unique");
        for reference in values(&page, "aria-labelledby").into_iter().flat_map(str::split_whitespace) {
            assert!(ids.contains(&reference), "{reference}");
        }
        for target in values(&page, "href") {
            assert!(ids.contains(&target.trim_start_matches('#')), "{target}");
        }
        assert_eq!(page.matches("<img").count(), values(&page, "alt").iter().filter(|alt| !alt.is_empty()).count());
        assert_eq!(page.matches("<table").count(), page.matches("<caption").count());
        assert_eq!(
            page.matches("<svg").count(),
            page.matches("role=\"img\" aria-labelledby").count() + page.matches("aria-hidden=\"true\"").count()
                - page.matches("<p class=\"scale\" aria-hidden").count()
                - page.matches("<span aria-hidden").count()
                - page.matches("<p class=\"arrow\" aria-hidden").count()
        );
        let levels: Vec<u32> =
            page.match_indices("<h").filter_map(|(at, _)| page[at + 2..at + 3].parse().ok()).collect();
        assert_eq!(levels.first(), Some(&1));
        assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "headings are in order: {levels:?}");
    }
}

//! Groups, told as lists of rows and as a group for each row.

use cnc_core::Groups;
use proptest::prelude::*;

fn error<T: std::fmt::Debug>(result: cnc_core::Result<T>) -> String {
    result.expect_err("refused").to_string()
}

#[test]
fn rows_in_several_groups_or_in_none_have_no_group_of_their_own() -> cnc_core::Result<()> {
    let by_row = |rows: &[&[u32]], samples| Groups::new(rows.iter().copied(), samples)?.by_row();
    assert_eq!(by_row(&[&[1], &[], &[0, 2]], 3)?, [2, 0, 2]);
    assert_eq!(error(by_row(&[&[0], &[1, 0]], 3)), "row 0 is in groups 0 and 1: expected one group a row");
    assert_eq!(error(by_row(&[&[0], &[1]], 3)), "row 2 is in no group: expected one group a row");
    Ok(())
}

#[test]
fn groups_and_rows_that_do_not_exist_are_named() {
    assert_eq!(error(Groups::new([vec![0], vec![2]], 2)), "group 1 lists row 2, but there are only 2 rows");
    assert_eq!(error(Groups::of_rows(&[0, 2], 2)), "row 1 is of group 2, but there are only 2 groups, numbered from 0");
}

proptest! {
    #[test]
    fn lists_of_a_group_for_each_row_give_that_group_back(of_rows in prop::collection::vec(0u32..7, 0..60)) {
        let groups = Groups::of_rows(&of_rows, 7).expect("groups");
        prop_assert_eq!(groups.sizes().iter().sum::<usize>(), of_rows.len());
        prop_assert_eq!(&groups.by_row().expect("one each"), &of_rows);
        prop_assert_eq!(Groups::new(groups.rows().to_vec(), groups.samples()).expect("groups"), groups);
    }
}

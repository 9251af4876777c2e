//! Figures: what stands beside them, and what stands in their place where there are none.

use super::runs::two_stages;
use crate::report::render;

#[test]
fn figures_stand_beside_interval_n_label_budget_and_selection_rule() {
    let page = render(&[two_stages()]);
    for text in [
        "80.0\u{202f}%",
        "95 % interval 0.0–50.0",
        "n = 10",
        "validation, for selection",
        "best worst group on validation",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(page.contains("Average accuracy, plain") && page.contains("Average accuracy, adjusted"));
}

#[test]
fn an_empty_group_is_n_0_and_a_dash() {
    let page = render(&[two_stages()]);
    assert!(page.contains("<td class=\"num\">n = 0</td><td>–</td><td>–</td>"));
}

#[test]
fn figures_that_do_not_exist_are_dashes_and_never_nan() {
    let mut run = two_stages();
    for test in run.results.stages.iter_mut().map(|stage| &mut stage.test) {
        test.average_accuracy = f64::NAN;
        test.average_interval = None;
        test.worst_group = None;
        test.worst_group_accuracy = None;
        test.worst_group_interval = None;
        test.groups.clear();
    }
    run.metrics[0].loss = Some(f64::NAN);
    run.results.stages[0].alignment_loss = Some(f64::INFINITY);
    if let Some(story) = &mut run.story {
        story.representations[0].x = vec![f32::NAN; 3];
        story.representations[1].x = vec![1.0; 3];
        story.representations[1].y = vec![1.0; 3];
    }
    let page = render(&[run]);
    assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    assert!(page.contains("<p class=\"big\">–</p>"));
}

#[test]
fn answers_of_the_last_step_are_told_from_figures_of_the_selected_one() {
    let mut run = two_stages();
    let words = "what it said after its last step, 20; its figures on the rest of this page are those of step 15";
    assert!(!render(&[run.clone()]).contains("after its last step"));
    run.results.stages[0].selected.step = 15;
    assert!(render(&[run]).contains(words));
}

#[test]
fn a_cut_down_run_says_so() {
    let mut run = two_stages();
    run.results.limit = Some(50);
    let page = render(&[run]);
    assert!(page.contains("at most 50 samples of each split were used") && page.contains("--limit 50"));
}

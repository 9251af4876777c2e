//! What stands in front of names.

use cnc_models::weights::{Head, load};
use cnc_models::{Error, Model};

use super::loading::{Tensors, changed, model, named, values};

fn renamed(name: impl Fn(String) -> String) -> impl FnOnce(&mut Tensors) {
    move |tensors| *tensors = std::mem::take(tensors).into_iter().map(|(old, t)| (name(old), t)).collect()
}

fn is_the_file(ours: &dyn Model) {
    let (ours, theirs) = (named(ours), named(&*model("resnet18", 2, 1)));
    assert!(ours.iter().all(|(name, tensor)| values(tensor) == values(&theirs[name])));
}

#[test]
fn a_prefix_that_all_names_have_is_taken_off_and_said() {
    for prefix in
        ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "net.", "backbone.", "a.b.c."]
    {
        let (_folder, path) = changed(2, renamed(|name| format!("{prefix}{name}")));
        let ours = model("resnet18", 2, 0);
        let loaded = load(&*ours, &path).unwrap();
        assert_eq!(loaded.head, Head::Loaded);
        let note = format!("122 of 122 tensors of {} loaded, prefix `{prefix}` left out", path.display());
        assert_eq!(loaded.notes, [note]);
        is_the_file(&*ours);
    }
}

#[test]
fn names_without_a_prefix_are_left_as_they_are() {
    let (_folder, path) = changed(2, |_| {});
    let loaded = load(&*model("resnet18", 2, 0), &path).unwrap();
    assert_eq!(loaded.notes, [format!("122 of 122 tensors of {} loaded", path.display())]);
}

#[test]
fn an_encoder_in_a_wrapper_leaves_the_models_own_head() {
    let (_folder, path) = changed(2, |tensors| {
        tensors.retain(|name, _| !name.starts_with("fc."));
        renamed(|name| format!("backbone.{name}"))(tensors);
    });
    assert_eq!(load(&*model("resnet18", 2, 0), &path).unwrap().head, Head::Missing);
}

#[test]
fn a_prefix_of_some_names_is_refused_with_names_found_and_expected() {
    let message = |tensors: &dyn Fn(String) -> String| {
        let (_folder, path) = changed(2, renamed(tensors));
        let ours = model("resnet18", 2, 0);
        let error = load(&*ours, &path).unwrap_err();
        assert!(matches!(error, Error::Prefix { .. }), "{error}");
        error.to_string()
    };
    let half = message(&|name| if name.starts_with("layer") { format!("model.{name}") } else { name });
    for part in [
        "have `model.` before the expected name, and others do not",
        "found model.layer1.0.bn1.bias, model.layer1.0.bn1.num_batches_tracked, model.layer1.0.bn1.running_mean;",
        "expected layer1.0.bn1.bias, layer1.0.bn1.num_batches_tracked, layer1.0.bn1.running_mean;",
        "save them with the prefix taken off",
    ] {
        assert!(half.contains(part), "`{part}` is not in: {half}");
    }
    let apart = message(&|name| match name.strip_prefix("fc.") {
        Some(rest) => format!("head.{rest}"),
        None => format!("backbone.{name}"),
    });
    assert!(apart.contains("120 of 122 tensors have `backbone.`"), "{apart}");
    assert!(apart.contains("not known with or without it: head.bias, head.weight"), "{apart}");
}

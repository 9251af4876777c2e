//! The datasets compiled into the program: manifests and recipes, and of `digits` the data too, so that an installed
//! program needs no checkout.

/// A dataset folder inside the program.
#[derive(Debug)]
pub(crate) struct BuiltIn {
    pub(crate) name: &'static str,
    pub(crate) manifest: &'static str,
    pub(crate) recipe: &'static str,
    /// What is published on it, where there is something.
    pub(crate) paper: Option<&'static str>,
    /// Data files by their name in the folder.
    pub(crate) files: &'static [(&'static str, &'static [u8])],
}

static BUILT_IN: [BuiltIn; 6] = [
    BuiltIn {
        name: "digits",
        manifest: include_str!("../datasets/digits/dataset.toml"),
        recipe: include_str!("../datasets/digits/recipe.toml"),
        paper: None,
        files: &[
            ("train.parquet", include_bytes!("../datasets/digits/train.parquet")),
            ("test.parquet", include_bytes!("../datasets/digits/test.parquet")),
        ],
    },
    BuiltIn {
        name: "cmnist",
        manifest: include_str!("../datasets/cmnist/dataset.toml"),
        recipe: include_str!("../datasets/cmnist/recipe.toml"),
        paper: Some(include_str!("../datasets/cmnist/paper.toml")),
        files: &[],
    },
    BuiltIn {
        name: "cmnist-biased",
        manifest: include_str!("../datasets/cmnist-biased/dataset.toml"),
        recipe: include_str!("../datasets/cmnist/recipe.toml"),
        paper: None,
        files: &[],
    },
    BuiltIn {
        name: "waterbirds",
        manifest: include_str!("../datasets/waterbirds/dataset.toml"),
        recipe: include_str!("../datasets/waterbirds/recipe.toml"),
        paper: Some(include_str!("../datasets/waterbirds/paper.toml")),
        files: &[],
    },
    BuiltIn {
        name: "celeba",
        manifest: include_str!("../datasets/celeba/dataset.toml"),
        recipe: include_str!("../datasets/celeba/recipe.toml"),
        paper: Some(include_str!("../datasets/celeba/paper.toml")),
        files: &[],
    },
    BuiltIn {
        name: "civilcomments",
        manifest: include_str!("../datasets/civilcomments/dataset.toml"),
        recipe: include_str!("../datasets/civilcomments/recipe.toml"),
        paper: Some(include_str!("../datasets/civilcomments/paper.toml")),
        files: &[],
    },
];

/// The names of all built-in datasets.
pub fn names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|dataset| dataset.name)
}

/// The text of a built-in dataset's recipe.toml.
#[must_use]
pub fn recipe(name: &str) -> Option<&'static str> {
    find(name).map(|dataset| dataset.recipe)
}

/// The text of a built-in dataset's paper.toml: the figures that are published on it.
#[must_use]
pub fn paper(name: &str) -> Option<&'static str> {
    find(name).and_then(|dataset| dataset.paper)
}

/// The text of a built-in dataset's dataset.toml.
#[must_use]
pub fn manifest(name: &str) -> Option<&'static str> {
    find(name).map(|dataset| dataset.manifest)
}

pub(crate) fn find(name: &str) -> Option<&'static BuiltIn> {
    BUILT_IN.iter().find(|dataset| dataset.name == name)
}

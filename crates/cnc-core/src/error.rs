//! The one error type of this crate.

use candle_core::DType;

/// What was wrong with an argument: which row, part, group or option, what was found and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The temperature of the contrastive loss is zero, negative, NaN, infinite or too small for 32-bit floats.
    #[error("temperature must be a finite number of at least {smallest}, not {given} (the paper uses 0.05 to 0.1)")]
    Temperature {
        /// The smallest that can be.
        smallest: f64,
        /// The value that was given.
        given: f64,
    },
    /// A part of the contrastive batch that the loss cannot do without has no rows.
    #[error("the contrastive loss has no {part} to work with: a batch needs at least one")]
    EmptyPart {
        /// Name of the part.
        part: &'static str,
    },
    /// A tensor does not have the shape that it must have.
    #[error("{what} must have shape {expected}, found {found:?}")]
    Shape {
        /// Name of the tensor.
        what: &'static str,
        /// The shape that was expected, in words.
        expected: String,
        /// The shape that was found.
        found: Vec<usize>,
    },
    /// The loss of a batch without samples is undefined.
    #[error("the batch has no samples: its cross-entropy is undefined")]
    EmptyBatch,
    /// Labels are not whole numbers of a dtype that losses take.
    #[error("labels must have dtype u32, u8 or i64, found {}", .found.as_str())]
    LabelDtype {
        /// The dtype that was found.
        found: DType,
    },
    /// Two columns that belong together differ in length.
    #[error("{left_name} has {left} rows but {right_name} has {right}: both must describe the same samples")]
    Lengths {
        /// Name of the first column.
        left_name: &'static str,
        /// Its rows.
        left: usize,
        /// Name of the second column.
        right_name: &'static str,
        /// Its rows.
        right: usize,
    },
    /// A class index is too large.
    #[error("row {row} has {column} {value}, expected a class from 0 to {} ({classes} classes)", .classes.saturating_sub(1))]
    ClassOutOfRange {
        /// The row, from 0.
        row: usize,
        /// `label` or `prediction`.
        column: &'static str,
        /// The value found.
        value: i64,
        /// Number of classes.
        classes: usize,
    },
    /// Rows are numbered by `u32`.
    #[error("{rows} samples are more than the {} that can be numbered", u32::MAX)]
    TooManyRows {
        /// Number of samples.
        rows: usize,
    },
    /// There is nothing to work with.
    #[error("there are no samples: at least one is needed")]
    NoSamples,
    /// An option has a value that makes no sense.
    #[error("{option} must be {expected}, not {given}")]
    Setting {
        /// Name of the option.
        option: &'static str,
        /// The values that it can have, in words.
        expected: &'static str,
        /// The value that was given.
        given: f64,
    },
    /// A group index is too large.
    #[error("row {row} is of group {group}, but there are only {groups} groups, numbered from 0")]
    GroupOutOfRange {
        /// The row, from 0.
        row: usize,
        /// Its group.
        group: u32,
        /// Number of groups.
        groups: usize,
    },
    /// A row is in no group or in several, where each must be in one.
    #[error("row {row} is in {}: expected one group a row", in_groups(.groups))]
    RowInGroups {
        /// The row, from 0.
        row: usize,
        /// None, or the first two of its groups.
        groups: Vec<u32>,
    },
    /// A sample belongs to a group that was said to have no samples.
    #[error("row {row} is of group {group}, which has no samples in the training set by the sizes given")]
    EmptyGroup {
        /// The row, from 0.
        row: usize,
        /// Its group.
        group: u32,
    },
    /// The class has no samples, so nothing can be learnt of it.
    #[error("class {class} has no samples to fit on: give samples of every class, or leave the class out")]
    ClassWithoutSamples {
        /// The class.
        class: usize,
    },
    /// A list names a row that does not exist.
    #[error("{what} name row {row}, but there are only {rows} rows, numbered from 0")]
    RowOutOfRange {
        /// What the list is of.
        what: &'static str,
        /// The row.
        row: u32,
        /// Number of rows.
        rows: usize,
    },
    /// The loss of a sample, or another value that everything else would be spoilt by, is NaN or infinite.
    #[error("{what} of row {row} is {value}: it must be finite (a lower learning rate may help)")]
    NotFiniteRow {
        /// What the value is.
        what: &'static str,
        /// The row, from 0.
        row: usize,
        /// The value.
        value: f64,
    },
    /// A saved state does not fit what it is loaded into.
    #[error("the saved {what} cannot be restored: {problem}")]
    State {
        /// What was saved.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// All samples are of one class, so there is nothing to contrast them with.
    #[error("all {samples} samples are of class {class}: contrastive learning needs at least two classes")]
    OneClass {
        /// The class.
        class: u32,
        /// Number of samples.
        samples: usize,
    },
    /// No sample is predicted correctly, so no slice has anchors.
    #[error(
        "none of the {samples} samples is predicted as its own class, so no slice has an anchor: train the first stage longer"
    )]
    NoAnchors {
        /// Number of samples.
        samples: usize,
    },
    /// The slice has no anchors, so no contrastive batch can be drawn for it.
    #[error("slice {slice} has no anchors; slices that can be drawn: {drawable:?}")]
    SliceWithoutAnchors {
        /// The slice that was asked for.
        slice: u32,
        /// The slices that can be drawn.
        drawable: Vec<u32>,
    },
    /// The row that should lead a contrastive batch is not an anchor of its slice.
    #[error("row {row} is not an anchor of slice {slice}")]
    NotAnAnchor {
        /// The row that was asked for.
        row: u32,
        /// The slice.
        slice: u32,
    },
    /// A size that must be positive is zero.
    #[error("{option} must be at least 1")]
    ZeroSize {
        /// The option.
        option: &'static str,
    },
    /// A group lists a row that does not exist.
    #[error("group {group} lists row {row}, but there are only {rows} rows")]
    GroupRow {
        /// Position of the group, from 0.
        group: usize,
        /// The row.
        row: u32,
        /// Number of rows.
        rows: usize,
    },
    /// The predictions do not come in equal blocks, one block per image.
    #[error("{predictions} predictions cannot be split into images of {per_image} versions each")]
    Counterfactuals {
        /// Number of predictions.
        predictions: usize,
        /// Versions of each image.
        per_image: usize,
    },
    /// A result is NaN or infinite because its input was.
    #[error("{what} of class {class} is not finite: the representations hold NaN or infinite values")]
    NotFinite {
        /// What was computed.
        what: &'static str,
        /// The class.
        class: u32,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// No group, or the groups that a row is in, in words.
fn in_groups(groups: &[u32]) -> String {
    match groups {
        [] => "no group".to_owned(),
        groups => format!("groups {}", groups.iter().map(u32::to_string).collect::<Vec<_>>().join(" and ")),
    }
}

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

//! What can go wrong, by name.

use std::fmt;
use std::path::PathBuf;

use cnc_base::files::WriteError;

use crate::op_error::OpError;

/// An error of this crate. Each variant names the layer, tensor, option or file that it
/// is about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A set of named tensors (weights, optimiser state) does not fit what it is loaded into. Nothing was changed.
    #[error("these tensors do not fit the {target}: {mismatch}")]
    Mismatch {
        /// What they were to be loaded into.
        target: &'static str,
        /// Every tensor that does not fit.
        mismatch: Box<Mismatch>,
    },

    /// A variable was asked for again with another shape.
    #[error("variable {name} has shape {existing:?} and was asked for again with shape {asked:?}")]
    VariableShape {
        /// Full name of the variable.
        name: String,
        /// Shape that it has.
        existing: Vec<usize>,
        /// Shape that was asked for.
        asked: Vec<usize>,
    },

    /// A variable was asked for by name alone, and there is none.
    #[error("there is no variable {name} yet, and without a shape it cannot be made")]
    UnknownVariable {
        /// Full name of the variable.
        name: String,
    },

    /// A loss that is more than one number.
    #[error("a loss must be one number, but has the shape {shape:?}: take its mean or its sum")]
    LossShape {
        /// Its shape.
        shape: Vec<usize>,
    },

    /// Trainable parameters without a gradient. Training would leave them as they are and say nothing.
    #[error(
        "no gradient reaches {}: the loss does not depend on {}, or an operation on the way has no gradient; \
         leave out of the optimiser what is meant to stay fixed",
        names.join(", "),
        if names.len() == 1 { "it" } else { "them" }
    )]
    MissingGradients {
        /// Names of the parameters.
        names: Vec<String>,
    },

    /// Gradients of parameters that the optimiser does not hold. It would leave them as they are and say nothing.
    #[error("the optimiser holds no parameter {}; put every trained parameter into one of its groups", names.join(", "))]
    UnknownGradients {
        /// Names of the parameters.
        names: Vec<String>,
    },

    /// A gradient that has another shape than its parameter.
    #[error("gradient of {name}: expected shape {expected:?}, found {found:?}")]
    GradientShape {
        /// Name of the parameter.
        name: String,
        /// Shape of the parameter.
        expected: Vec<usize>,
        /// Shape of the gradient.
        found: Vec<usize>,
    },

    /// The same parameter in two groups, or twice in one.
    #[error("parameter {name} is in the optimiser's groups twice")]
    DuplicateParameter {
        /// Name of the parameter.
        name: String,
    },

    /// An option outside the values that make sense.
    #[error("{option}: expected {expected}, found {found}")]
    InvalidOption {
        /// Name of the option.
        option: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it was.
        found: f64,
    },

    /// A layer was given something that it cannot work with.
    #[error("layer {layer}: {source}")]
    Layer {
        /// Name of the layer.
        layer: String,
        /// What does not fit.
        source: Box<OpError>,
    },

    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },

    /// A file could not be written. What was at its place before is still there.
    #[error(transparent)]
    Write(#[from] WriteError),

    /// A file that is not what it should be.
    #[error("{} is not a complete safetensors file: {reason}; fetch or save it again", path.display())]
    NotSafetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// An error of Candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// How a set of named tensors differs from the set that was expected; every difference at once.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Expected, and not there.
    pub missing: Vec<String>,
    /// There, and not expected.
    pub extra: Vec<String>,
    /// There with another shape.
    pub misshapen: Vec<Misshapen>,
    /// There with NaN or infinite values.
    pub not_finite: Vec<String>,
}

/// A tensor with another shape than expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misshapen {
    /// Its name.
    pub name: String,
    /// The shape that it should have.
    pub expected: Vec<usize>,
    /// The shape that it has.
    pub found: Vec<usize>,
}

impl Mismatch {
    /// Whether there is no difference.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.misshapen.is_empty() && self.not_finite.is_empty()
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.missing.is_empty() {
            parts.push(format!("missing {}", listed(&self.missing)));
        }
        if !self.extra.is_empty() {
            parts.push(format!("not known here {}", listed(&self.extra)));
        }
        for Misshapen { name, expected, found } in self.misshapen.iter().take(LISTED) {
            parts.push(format!("{name} should have shape {expected:?} and has {found:?}"));
        }
        if let more @ 1.. = self.misshapen.len().saturating_sub(LISTED) {
            parts.push(format!("{more} more have another shape"));
        }
        if !self.not_finite.is_empty() {
            parts.push(format!("NaN or infinite values in {}", listed(&self.not_finite)));
        }
        f.write_str(&parts.join("; "))
    }
}

/// Names of one kind that a message lists: weights of another architecture differ in hundreds.
const LISTED: usize = 8;

/// The first names, and how many more there are.
fn listed(names: &[String]) -> String {
    let first = names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mismatch_names_every_tensor_and_both_shapes() {
        let mismatch = Mismatch {
            missing: vec!["fc1.bias".into(), "fc2.bias".into()],
            extra: vec!["head".into()],
            misshapen: vec![Misshapen { name: "fc.weight".into(), expected: vec![5, 84], found: vec![2, 84] }],
            not_finite: vec!["conv1.bias".into()],
        };
        assert_eq!(
            Error::Mismatch { target: "model", mismatch: Box::new(mismatch) }.to_string(),
            "these tensors do not fit the model: missing fc1.bias, fc2.bias; not known here head; \
             fc.weight should have shape [5, 84] and has [2, 84]; NaN or infinite values in conv1.bias"
        );
    }

    #[test]
    fn hundreds_of_differences_are_counted_after_the_first() {
        let names: Vec<String> = (0..100).map(|i| format!("layer{i}")).collect();
        let misshapen = |name: &String| Misshapen { name: name.clone(), expected: vec![1], found: vec![2] };
        let misshapen = names.iter().map(misshapen).collect();
        let text = Mismatch { missing: names, misshapen, ..Mismatch::default() }.to_string();
        assert!(text.starts_with("missing layer0, layer1, ") && text.contains("layer7 and 92 more; layer0 should"));
        assert!(text.ends_with("layer7 should have shape [1] and has [2]; 92 more have another shape"), "{text}");
    }
}

//! What can be said of a sample besides its class: further columns of its table, and simple measures of the input itself.
//!
//! For asking what a model's errors go with; nothing here takes part in training. `columns` reads the table again, `images` and
//! `texts` measure what the split holds.

mod columns;
mod images;
mod texts;

use crate::{DataError, Split};

/// A property of every row of a split.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Property {
    /// Its name, for people.
    pub name: String,
    /// Where it is from.
    pub origin: Origin,
    /// Its value, a row.
    pub values: Values,
}

/// Where a property is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A column of the table.
    Column,
    /// Computed from the image or the text.
    Input,
    /// A word of the text.
    Word,
}

/// The values of a property.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Values {
    /// A number a row, all finite.
    Numbers(Vec<f64>),
    /// For each row the place of its value's name.
    Categories {
        /// The names of the values.
        names: Vec<String>,
        /// Places in the names.
        values: Vec<u32>,
    },
}

impl Split {
    /// Simple measures of every input. Of images: brightness, contrast, saturation, sharpness, the colour that is most of it, and
    /// those of its border, as the network sees it. Of texts: length, shares of capitals, digits and punctuation, and whether each
    /// of the words is there that are neither rare nor everywhere. None for tensors.
    ///
    /// # Errors
    /// An image that cannot be read.
    pub fn measures(&self) -> Result<Vec<Property>, DataError> {
        match (self.text(0), self.shape()) {
            (Some(_), _) => Ok(texts::measures(self)),
            (None, Some((3, _, _))) => images::measures(self),
            (None, _) => Ok(Vec::new()),
        }
    }
}

/// Rows of numbers as properties with these names, one a column of the rows.
fn numbers<const N: usize>(names: [&str; N], rows: &[[f64; N]]) -> Vec<Property> {
    let column = |(place, name): (usize, &str)| Property {
        name: name.to_string(),
        origin: Origin::Input,
        values: Values::Numbers(rows.iter().filter_map(|row| row.get(place)).copied().collect()),
    };
    names.into_iter().enumerate().map(column).collect()
}

//! Rows of files, and as what a split shows them.

/// One row of one file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// Index into [`SplitRows::files`].
    pub(crate) file: usize,
    pub(crate) row: usize,
    pub(crate) label: u32,
    /// 0 where there is no attribute. Where there are several: 1 with any of them, else 0.
    pub(crate) attribute: u32,
    /// Where there are several attributes, a bit for each that the row has.
    pub(crate) several: u32,
    /// Rows of one unit are drawn into one split.
    pub(crate) unit: Option<u32>,
}

/// The rows of one split, before an image is shown in several colours.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    pub(crate) rows: Vec<Row>,
    pub(crate) shown: Shown,
    pub(super) has_attribute: bool,
}

/// How often a row of a file is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Once, with its own attribute.
    #[default]
    Once,
    /// In so many colours, one after the other.
    InColours(u32),
}

impl Rows {
    /// The attributes that a row is shown with.
    pub(crate) fn attributes_of(&self, row: &Row) -> std::ops::Range<u32> {
        match self.shown {
            Shown::Once => row.attribute..row.attribute + 1,
            Shown::InColours(colours) => 0..colours,
        }
    }

    /// Number of rows that each row of a file becomes.
    pub(crate) fn copies(&self) -> usize {
        match self.shown {
            Shown::Once => 1,
            Shown::InColours(colours) => colours as usize,
        }
    }

    pub(crate) fn counterfactuals(&self) -> Option<usize> {
        match self.shown {
            Shown::Once => None,
            Shown::InColours(colours) => Some(colours as usize),
        }
    }

    pub(crate) fn shown_labels(&self) -> Vec<u32> {
        self.rows.iter().flat_map(|row| std::iter::repeat_n(row.label, self.copies())).collect()
    }

    /// Empty where there is no attribute.
    pub(crate) fn shown_attributes(&self) -> Vec<u32> {
        if !self.has_attribute {
            return Vec::new();
        }
        self.rows.iter().flat_map(|row| self.attributes_of(row)).collect()
    }
}

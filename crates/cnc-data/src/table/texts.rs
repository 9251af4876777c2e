//! Many texts in one piece of memory.

/// Texts, one after the other: no more memory than their bytes and 8 more each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts {
    all: String,
    ends: Vec<usize>,
}

impl Texts {
    /// Adds a text at the end.
    pub fn push(&mut self, text: &str) {
        self.all.push_str(text);
        self.ends.push(self.all.len());
    }

    /// The text at a place.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&str> {
        let end = *self.ends.get(place)?;
        let start = place.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.all.get(start..end)
    }

    /// Number of texts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_were_put_in_the_empty_ones_too() {
        let mut texts = Texts::default();
        let given = ["", "a", "", "naïve 🤷", ""];
        given.iter().for_each(|text| texts.push(text));
        assert_eq!(texts.len(), 5);
        assert_eq!((0..5).map(|place| texts.get(place).unwrap()).collect::<Vec<_>>(), given);
        assert_eq!(texts.get(5), None);
    }
}

//! The tokens of many texts in one piece of memory.

use cnc_base::inputs::Tokens;

/// Vocabulary indices, as narrow as the vocabulary allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ids {
    Narrow(Vec<u16>),
    Wide(Vec<u32>),
}

/// The tokens of texts, one text after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenStore {
    pub(crate) ids: Ids,
    /// Where each text ends.
    pub(crate) ends: Vec<usize>,
    /// The texts that were longer and were cut, with the number of tokens that they have in full.
    pub(crate) cut: Vec<(u32, u32)>,
}

impl TokenStore {
    /// None yet, of a vocabulary of this size.
    pub(crate) fn new(vocabulary: usize) -> Self {
        let ids = if vocabulary <= usize::from(u16::MAX) + 1 { Ids::Narrow(Vec::new()) } else { Ids::Wide(Vec::new()) };
        Self { ids, ends: Vec::new(), cut: Vec::new() }
    }

    /// Adds the tokens of a text, which has so many `in_full`; false where one is outside the vocabulary.
    #[must_use]
    pub(crate) fn push(&mut self, ids: &[u32], in_full: usize) -> bool {
        let end = match &mut self.ids {
            Ids::Narrow(all) => {
                for id in ids {
                    let Ok(id) = u16::try_from(*id) else { return false };
                    all.push(id);
                }
                all.len()
            }
            Ids::Wide(all) => {
                all.extend_from_slice(ids);
                all.len()
            }
        };
        if in_full > ids.len() {
            self.cut.push((self.ends.len() as u32, in_full as u32));
        }
        self.ends.push(end);
        true
    }

    /// Number of texts.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Number of tokens of a text.
    pub(crate) fn length(&self, place: usize) -> Option<usize> {
        self.range(place).map(|range| range.len())
    }

    /// The tokens of a text.
    pub(crate) fn get(&self, place: usize) -> Option<impl Iterator<Item = u32> + '_> {
        let range = self.range(place)?;
        let (narrow, wide) = match &self.ids {
            Ids::Narrow(ids) => (ids.get(range)?, [].as_slice()),
            Ids::Wide(ids) => ([].as_slice(), ids.get(range)?),
        };
        Some(narrow.iter().map(|id| u32::from(*id)).chain(wide.iter().copied()))
    }

    /// The tokens of some texts as a batch.
    pub(crate) fn batch(&self, places: &[usize]) -> Tokens {
        places.iter().map(|place| self.get(*place).into_iter().flatten()).collect()
    }

    fn range(&self, place: usize) -> Option<std::ops::Range<usize>> {
        let end = *self.ends.get(place)?;
        let start = place.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        Some(start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_from_narrow_and_from_wide_memory_alike() {
        for vocabulary in [65_536, 65_537] {
            let mut tokens = TokenStore::new(vocabulary);
            assert!(tokens.push(&[1, 65_535], 2));
            assert!(tokens.push(&[], 9));
            assert!(tokens.push(&[7], 1));
            let texts: Vec<Vec<u32>> = (0..3).map(|place| tokens.get(place).unwrap().collect()).collect();
            assert_eq!(texts, [vec![1, 65_535], vec![], vec![7]]);
            assert_eq!((tokens.length(0), tokens.length(1), tokens.length(3)), (Some(2), Some(0), None));
            assert_eq!((tokens.len(), &tokens.cut[..]), (3, &[(1, 9)][..]));
        }
        assert!(!TokenStore::new(10).push(&[65_536], 1), "no such token");
    }
}

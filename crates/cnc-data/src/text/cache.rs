//! TokenStore of a dataset in a file of the cache, so that a second start does not tokenise again.
//!
//! The file's name and its first bytes are a hash of all that the tokens depend on: the texts, the tokenizer and the
//! length. Its last ones are a hash of the rest of it. The file has its name when it is complete.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use cnc_base::files::AtomicFile;
use sha2::{Digest, Sha256};

use super::store::{Ids, TokenStore};
use crate::{DataError, HubCache};

/// First bytes of the file; another layout has another number.
const MAGIC: &[u8; 16] = b"cnc token cache2";
/// The folder in the cache.
const FOLDER: &str = ".cnc-tokens";
/// A SHA-256.
pub(crate) type Hash = [u8; 32];
/// The magic, the key, and three numbers of 8 bytes: texts, bytes of a token, texts that were cut.
const HEAD: usize = 16 + 32 + 3 * 8;

/// The file of some texts' tokens.
pub(crate) struct TokenCache {
    path: PathBuf,
    key: Hash,
}

impl TokenCache {
    pub(crate) fn new(cache: &HubCache, dataset: &str, key: Hash) -> Self {
        let start: String = key.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { path: cache.root().join(FOLDER).join(format!("{dataset}-{start}.tokens")), key }
    }

    /// The tokens of so many texts; nothing where there is no such file, or one that is damaged: it is made again.
    pub(crate) fn load(&self, texts: usize) -> Option<TokenStore> {
        let bytes = fs::read(&self.path).ok()?;
        let (content, sum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        if Sha256::digest(content)[..] != *sum {
            return None;
        }
        let (head, content) = content.split_at_checked(HEAD)?;
        if head.get(..16)? != MAGIC || head.get(16..48)? != self.key {
            return None;
        }
        let number =
            |place: usize| Some(u64::from_le_bytes(head.get(48 + 8 * place..56 + 8 * place)?.try_into().ok()?));
        if number(0)? != texts as u64 {
            return None;
        }
        let (lengths, content) = content.split_at_checked(texts.checked_mul(4)?)?;
        let (cut, ids) = content.split_at_checked(usize::try_from(number(2)?).ok()?.checked_mul(8)?)?;
        let number_of = |[a, b, c, d, e, f, g, h]: &[u8; 8]| {
            (u32::from_le_bytes([*a, *b, *c, *d]), u32::from_le_bytes([*e, *f, *g, *h]))
        };
        let cut = cut.as_chunks::<8>().0.iter().map(number_of).collect();
        let mut end = 0_usize;
        let mut ends = Vec::with_capacity(texts);
        for length in lengths.as_chunks::<4>().0 {
            end = end.checked_add(u32::from_le_bytes(*length) as usize)?;
            ends.push(end);
        }
        let ids = match number(1)? {
            2 => Ids::Narrow(ids.as_chunks::<2>().0.iter().map(|id| u16::from_le_bytes(*id)).collect()),
            4 => Ids::Wide(ids.as_chunks::<4>().0.iter().map(|id| u32::from_le_bytes(*id)).collect()),
            _ => return None,
        };
        let count = match &ids {
            Ids::Narrow(ids) => ids.len(),
            Ids::Wide(ids) => ids.len(),
        };
        (count == end).then_some(TokenStore { ids, ends, cut })
    }

    pub(crate) fn store(&self, tokens: &TokenStore) -> Result<(), DataError> {
        let io = |source| DataError::Io { path: self.path.clone(), source };
        let mut out = AtomicFile::create_shared(&self.path).map_err(io)?;
        let mut sum = Sha256::new();
        let mut put = |bytes: &[u8]| {
            sum.update(bytes);
            out.write_all(bytes).map_err(io)
        };
        let width: u64 = match tokens.ids {
            Ids::Narrow(_) => 2,
            Ids::Wide(_) => 4,
        };
        put(MAGIC)?;
        put(&self.key)?;
        for number in [tokens.len() as u64, width, tokens.cut.len() as u64] {
            put(&number.to_le_bytes())?;
        }
        let mut start = 0;
        for end in &tokens.ends {
            // No text has more tokens than `max_length`.
            put(&((end - start) as u32).to_le_bytes())?;
            start = *end;
        }
        tokens
            .cut
            .iter()
            .flat_map(|(place, in_full)| [place, in_full])
            .try_for_each(|number| put(&number.to_le_bytes()))?;
        match &tokens.ids {
            Ids::Narrow(ids) => ids.iter().try_for_each(|id| put(&id.to_le_bytes()))?,
            Ids::Wide(ids) => ids.iter().try_for_each(|id| put(&id.to_le_bytes()))?,
        }
        let sum = sum.finalize();
        out.write_all(&sum).and_then(|()| out.finish()).map_err(io)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(vocabulary: usize) -> TokenStore {
        let mut tokens = TokenStore::new(vocabulary);
        assert!(tokens.push(&[101, 102], 2) && tokens.push(&[101, 7, 8, 102], 9));
        tokens
    }

    #[test]
    fn tokens_come_back_as_they_were_stored() {
        let folder = tempfile::tempdir().unwrap();
        for vocabulary in [200, 100_000] {
            let cache = TokenCache::new(&HubCache::new(folder.path()), "comments", [7; 32]);
            cache.store(&tokens(vocabulary)).unwrap();
            assert_eq!(cache.load(2), Some(tokens(vocabulary)));
            assert_eq!(cache.load(3), None, "another number of texts");
            let other = TokenCache { key: [8; 32], ..cache };
            assert_eq!(other.load(2), None, "made of something else");
        }
        let files = fs::read_dir(folder.path().join(FOLDER)).unwrap().count();
        assert_eq!(files, 1, "nothing but the complete file");
    }

    #[test]
    fn a_file_with_one_changed_byte_or_without_its_end_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let cache = TokenCache::new(&HubCache::new(folder.path()), "comments", [7; 32]);
        cache.store(&tokens(200)).unwrap();
        let good = fs::read(&cache.path).unwrap();
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 1;
            fs::write(&cache.path, &bad).unwrap();
            assert_eq!(cache.load(2), None, "byte {place}");
            fs::write(&cache.path, &good[..place]).unwrap();
            assert_eq!(cache.load(2), None, "{place} bytes");
        }
        fs::write(&cache.path, &good).unwrap();
        assert!(cache.load(2).is_some());
    }
}

//! One generator per purpose, derived by name: adding a draw for one purpose does not change any other.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The generator for `purpose` ("split", "colour of test", ...) under `seed`.
pub(crate) fn generator(seed: u64, purpose: &str) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&fnv1a(purpose).to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// 64-bit FNV-1a: the standard library's hasher is not promised to stay the same between versions.
pub(crate) fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use rand::RngCore;

    use super::*;

    #[test]
    fn equal_seed_and_purpose_give_equal_draws_and_another_of_either_gives_others() {
        let first = |seed, purpose| generator(seed, purpose).next_u64();
        assert_eq!(first(3, "split"), first(3, "split"));
        assert_ne!(first(3, "split"), first(4, "split"));
        assert_ne!(first(3, "split"), first(3, "colour"));
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("foobar"), 0x8594_4171_f739_67e8);
    }
}

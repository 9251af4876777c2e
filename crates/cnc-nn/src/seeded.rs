//! Generators that belong to a purpose: one per (seed, name), independent of every other one.
//!
//! Candle's CPU generator cannot be seeded, and one shared generator would make every draw depend on all draws
//! before it. Here the initial values of `conv1.weight` depend on the seed and on that name alone, so that adding a
//! layer, or creating the layers in another order, leaves the others as they were.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Keeps the generators of this crate apart from those of anyone else who uses the same seed and name.
const DOMAIN: [u8; 8] = *b"cnc-nn/1";

/// The generator of `name` under `seed`: the same numbers on every platform and in every release.
///
/// ```
/// use cnc_nn::seeded::generator;
/// use rand::RngCore;
///
/// assert_eq!(generator(7, "conv1.weight").next_u64(), generator(7, "conv1.weight").next_u64());
/// assert_ne!(generator(7, "conv1.weight").next_u64(), generator(7, "conv2.weight").next_u64());
/// ```
#[must_use]
pub fn generator(seed: u64, name: &str) -> ChaCha8Rng {
    // The 256-bit key holds both inputs side by side, so two different seeds can never meet.
    let mut key = [0; 32];
    let fields = [&seed.to_le_bytes()[..], &fnv1a_128(name.as_bytes()).to_le_bytes()[..], &DOMAIN[..]];
    for (place, byte) in key.iter_mut().zip(fields.concat()) {
        *place = byte;
    }
    ChaCha8Rng::from_seed(key)
}

/// The 128-bit FNV-1a hash (offset basis and prime of draft-eastlake-fnv). Written out because the standard library's
/// hasher may change from one Rust release to the next, and old runs must stay repeatable.
fn fnv1a_128(bytes: &[u8]) -> u128 {
    const OFFSET_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET_BASIS, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngCore;

    #[test]
    fn the_hash_is_the_published_fnv1a() {
        // Test vectors of draft-eastlake-fnv, appendix C.
        assert_eq!(fnv1a_128(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fnv1a_128(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
        assert_eq!(fnv1a_128(b"foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }

    #[test]
    fn seed_and_name_both_matter() {
        let first = |seed, name| generator(seed, name).next_u64();
        assert_eq!(first(1, "a"), first(1, "a"));
        assert_ne!(first(1, "a"), first(2, "a"));
        assert_ne!(first(1, "a"), first(1, "b"));
    }

    #[test]
    fn the_numbers_never_change_from_one_release_to_the_next() {
        assert_eq!(generator(0, "conv1.weight").next_u64(), RECORDED);
    }

    /// Written down once; a change here breaks the repeatability of every old run.
    const RECORDED: u64 = 4_048_374_964_373_102_552;
}

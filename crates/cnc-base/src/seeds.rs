//! Generators that belong to a purpose: one for each seed and name, independent of every other one.
//!
//! There is no generator state. A new draw for one purpose never shifts the draws of another, and a draw for step `t`
//! needs nothing but the seed and `t`: a resumed run continues with the same numbers. Candle's CPU generator cannot be
//! seeded, and one shared generator would make every draw depend on all draws before it.
//!
//! Three domains derive their generators in three ways, which old runs have written down and which stay as they are:
//! what a run draws ([`Seeds`]), what a parameter's name draws ([`of_parameter`]), and what the making of a dataset
//! draws ([`of_data`]). In each, two purposes or two seeds have nothing in common.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The seeds of a run: a base seed from which every purpose derives its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seeds(u64);

impl Seeds {
    /// The seeds that belong to the run's seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The seeds of one purpose, for example `"init"` or `"stage/erm"`.
    #[must_use]
    pub fn purpose(self, name: &str) -> Self {
        Self(mix(self.0 ^ mix(fnv1a_64(name))))
    }

    /// The seeds of the `index`-th draw of this purpose (a step, an epoch, a batch).
    #[must_use]
    pub fn at(self, index: u64) -> Self {
        Self(mix(self.0.wrapping_add(mix(index.wrapping_add(1)))))
    }

    /// The seed as a number, for generators that other crates own.
    #[must_use]
    pub fn value(self) -> u64 {
        self.0
    }

    /// A generator that starts at this seed.
    #[must_use]
    pub fn generator(self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.0)
    }
}

/// Keeps the generators of parameters apart from those of anyone else who uses the same seed and name.
const PARAMETER_DOMAIN: [u8; 8] = *b"cnc-nn/1";

/// The generator of a model's parameter or layer under `seed`: the same numbers on every platform and in every release.
/// The initial values of `conv1.weight` depend on the seed and on that name alone, so that adding a layer, or creating
/// the layers in another order, leaves the others as they were.
///
/// ```
/// use cnc_base::seeds::of_parameter;
/// use rand::RngCore;
///
/// assert_eq!(of_parameter(7, "conv1.weight").next_u64(), of_parameter(7, "conv1.weight").next_u64());
/// assert_ne!(of_parameter(7, "conv1.weight").next_u64(), of_parameter(7, "conv2.weight").next_u64());
/// ```
#[must_use]
pub fn of_parameter(seed: u64, name: &str) -> ChaCha8Rng {
    keyed(&[&seed.to_le_bytes(), &fnv1a_128(name).to_le_bytes(), &PARAMETER_DOMAIN])
}

/// The generator of a step in the making of a dataset (`"split"`, `"colour of test"`, ...) under the manifest's seed.
#[must_use]
pub fn of_data(seed: u64, purpose: &str) -> ChaCha8Rng {
    keyed(&[&seed.to_le_bytes(), &fnv1a_64(purpose).to_le_bytes()])
}

/// The 256-bit key holds all fields side by side, so two different seeds can never meet.
fn keyed(fields: &[&[u8]]) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (place, byte) in key.iter_mut().zip(fields.concat()) {
        *place = byte;
    }
    ChaCha8Rng::from_seed(key)
}

/// The finaliser of splitmix64: every input bit reaches every output bit.
#[must_use]
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The 64-bit FNV-1a hash (offset basis and prime of draft-eastlake-fnv). Written out because the standard library's
/// hasher may change from one Rust release to the next, and old runs must stay repeatable.
#[must_use]
pub fn fnv1a_64(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The 128-bit FNV-1a hash, of the same source.
fn fnv1a_128(text: &str) -> u128 {
    const OFFSET_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    text.bytes().fold(OFFSET_BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngCore;

    #[test]
    fn purposes_and_indices_give_different_seeds_and_the_same_ones_each_time() {
        let seeds = Seeds::new(7);
        assert_eq!(seeds.purpose("init"), Seeds::new(7).purpose("init"));
        assert_ne!(seeds.purpose("init"), seeds.purpose("sampling"));
        assert_ne!(seeds.purpose("init"), Seeds::new(8).purpose("init"));
        assert_ne!(seeds.at(0), seeds.at(1));
        assert_ne!(seeds.at(0), seeds);
    }

    #[test]
    fn equal_seed_and_purpose_give_equal_draws_and_another_of_either_gives_others() {
        let first = |seed, purpose| of_data(seed, purpose).next_u64();
        assert_eq!(first(3, "split"), first(3, "split"));
        assert_ne!(first(3, "split"), first(4, "split"));
        assert_ne!(first(3, "split"), first(3, "colour"));
    }

    #[test]
    fn seed_and_name_both_matter() {
        let first = |seed, name| of_parameter(seed, name).next_u64();
        assert_eq!(first(1, "a"), first(1, "a"));
        assert_ne!(first(1, "a"), first(2, "a"));
        assert_ne!(first(1, "a"), first(1, "b"));
    }

    /// Written down once; a change here breaks the repeatability of every old run.
    #[test]
    fn the_numbers_never_change_from_one_release_to_the_next() {
        assert_eq!(of_parameter(0, "conv1.weight").next_u64(), 4_048_374_964_373_102_552);
        assert_eq!(of_data(0, "split").next_u64(), 13_856_755_511_984_300_180);
        assert_eq!(Seeds::new(0).purpose("init").at(3).value(), 2_787_668_959_349_224_529);
        assert_eq!(Seeds::new(0).purpose("init").generator().next_u64(), 5_017_868_796_882_841_265);
    }

    #[test]
    fn the_hashes_are_the_published_ones() {
        // Test vectors of draft-eastlake-fnv, appendix C.
        assert_eq!(fnv1a_64(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a_64("foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(fnv1a_128(""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fnv1a_128("a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
        assert_eq!(fnv1a_128("foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }
}

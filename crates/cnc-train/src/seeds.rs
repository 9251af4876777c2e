//! One seeded generator per purpose, derived from the run's seed by name.
//!
//! A new draw for one purpose never shifts the draws of another, and a draw for step `t` needs nothing but
//! the seed and `t`: a resumed run continues with the same numbers without a generator state to restore.

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
        // FNV-1a over the name, mixed with the base seed: stable across platforms and releases.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Self(mix(self.0 ^ mix(hash)))
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

/// The finaliser of splitmix64: every input bit reaches every output bit.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::Seeds;

    #[test]
    fn purposes_and_indices_give_different_seeds_and_the_same_ones_each_time() {
        let seeds = Seeds::new(7);
        assert_eq!(seeds.purpose("init"), Seeds::new(7).purpose("init"));
        assert_ne!(seeds.purpose("init"), seeds.purpose("sampling"));
        assert_ne!(seeds.purpose("init"), Seeds::new(8).purpose("init"));
        assert_ne!(seeds.at(0), seeds.at(1));
        assert_ne!(seeds.at(0), seeds);
    }
}

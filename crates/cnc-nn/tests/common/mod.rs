//! What tests of the ops' promises share.

use cnc_nn::InstructionSet;

/// Runs `values` on one, two and five threads with each set of instructions: the bits must be the same.
pub fn assert_same_bits_on_any_number_of_threads(values: fn() -> Vec<Vec<f32>>) {
    for set in InstructionSet::available() {
        let with_threads = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let values = pool.install(|| set.install(values)).unwrap();
            values.concat().into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let one = with_threads(1);
        assert_eq!(one, with_threads(2), "{set}");
        assert_eq!(one, with_threads(5), "{set}");
    }
}

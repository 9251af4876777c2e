//! What tests of the ops' promises share.

/// Runs `values` on one, two and five threads: the bits must be the same.
pub fn assert_same_bits_on_any_number_of_threads(values: fn() -> Vec<Vec<f32>>) {
    let with_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(values).concat().into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    let one = with_threads(1);
    assert_eq!(one, with_threads(2));
    assert_eq!(one, with_threads(5));
}

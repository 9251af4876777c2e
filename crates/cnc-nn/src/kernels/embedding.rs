//! Rows of a table by their numbers.

use super::parallel::written_by_chunks;

/// Rows that one thread copies at a time.
const ROWS: usize = 64;

/// Row `ids[i]` of `weight`, whose rows have `width` values, for each `i`.
pub(crate) fn forward(weight: &[f32], width: usize, ids: &[u32]) -> Vec<f32> {
    let len = ids.len() * width;
    written_by_chunks(len, ROWS * width, len, |i, rows| {
        for (row, id) in rows.chunks_exact_mut(width.max(1)).zip(&ids[i * ROWS..]) {
            row.copy_from_slice(&weight[*id as usize * width..][..width]);
        }
    })
}

/// The gradient of a table of `count` rows: added up in the order of the ids.
pub(crate) fn backward(dy: &[f32], [count, width]: [usize; 2], ids: &[u32]) -> Vec<f32> {
    // The places of each id side by side, in their order.
    let mut places: Vec<usize> = (0..ids.len()).collect();
    places.sort_by_key(|place| ids[*place]);
    let len = count * width;
    written_by_chunks(len, ROWS * width, len, |i, rows| {
        let some = i * ROWS..(i + 1) * ROWS;
        let first = places.partition_point(|place| (ids[*place] as usize) < some.start);
        for place in &places[first..] {
            let id = ids[*place] as usize;
            if id >= some.end {
                break;
            }
            let dw = &mut rows[(id - some.start) * width..][..width];
            for (dw, dy) in dw.iter_mut().zip(&dy[place * width..][..width]) {
                *dw += dy;
            }
        }
    })
}

//! Matrix products of slices: on the calling thread, or cut into tiles that the threads share. Products side by side are
//! quicker than one product on several threads.

use std::marker::PhantomData;
use std::ops::Range;

use gemm::Parallelism;
use rayon::prelude::*;

/// Tiles of a shared product at most: enough for several threads, and each still large, as each packs its factors anew.
const MOST_TILES: usize = 8;
/// Multiplications of a tile at least.
const SMALLEST_TILE: usize = 1 << 19;
/// Rows and columns of a tile at least.
const SHORTEST_SIDE: usize = 16;

/// A matrix that is read.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `rows` rows of `columns` values, row after row.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// `rows` rows of `columns` values, each row `row_stride` values after the one before.
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        let data = &data[..extent(rows, columns, row_stride)];
        Self { data, rows, columns, row_stride, column_stride: 1 }
    }

    /// The same values with rows and columns changed over.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// The values of a row, of a matrix that is not transposed.
    #[inline(always)]
    pub fn row(self, row: usize) -> &'a [f32] {
        assert!(row < self.rows && self.column_stride == 1, "a row of a matrix");
        &self.data[row * self.row_stride..][..self.columns]
    }

    /// Some of the rows.
    pub fn some_rows(self, rows: &Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows of a matrix");
        Self { data: self.from(rows.start * self.row_stride), rows: rows.len(), ..self }
    }

    /// Some of the columns.
    pub fn some_columns(self, columns: &Range<usize>) -> Self {
        assert!(columns.start <= columns.end && columns.end <= self.columns, "columns of a matrix");
        Self { data: self.from(columns.start * self.column_stride), columns: columns.len(), ..self }
    }

    /// The values from a place on; none behind the last row or column.
    fn from(self, start: usize) -> &'a [f32] {
        self.data.get(start..).unwrap_or_default()
    }
}

/// A matrix that is written: the only view of its values, as `&mut [f32]` is, but with gaps between the rows, so that it
/// can be cut along columns too.
pub(super) struct MatrixMut<'a> {
    data: *mut f32,
    rows: usize,
    columns: usize,
    row_stride: usize,
    values: PhantomData<&'a mut [f32]>,
}

// SAFETY: the values of a view are reached through this view alone.
unsafe impl Send for MatrixMut<'_> {}

impl<'a> MatrixMut<'a> {
    /// `rows` rows of `columns` values, row after row.
    pub fn new(data: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// `rows` rows of `columns` values, each row `row_stride` values after the one before.
    pub fn strided(data: &'a mut [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(rows <= 1 || columns <= row_stride, "rows must not overlap");
        let data = data[..extent(rows, columns, row_stride)].as_mut_ptr();
        Self { data, rows, columns, row_stride, values: PhantomData }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The values of a row.
    pub fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "rows of a matrix");
        // SAFETY: the row lies within the slice that the view was made from, and nothing else reaches it.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(row * self.row_stride), self.columns) }
    }

    /// A view of some of the rows for a while.
    pub fn some_rows(&mut self, rows: &Range<usize>) -> MatrixMut<'_> {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows of a matrix");
        let offset = if rows.is_empty() || self.columns == 0 { 0 } else { rows.start * self.row_stride };
        // SAFETY: a part that has values starts within the slice; the whole view cannot be used while this one is there.
        let data = unsafe { self.data.add(offset) };
        MatrixMut { data, rows: rows.len(), values: PhantomData, ..*self }
    }

    /// The same view for a while.
    pub fn reborrow(&mut self) -> MatrixMut<'_> {
        MatrixMut { values: PhantomData, ..*self }
    }

    /// Cuts at these row and column bounds (from 0 to the number of rows or columns, never falling): all parts of the
    /// first rows first.
    pub fn cut(self, rows: &[usize], columns: &[usize]) -> Vec<MatrixMut<'a>> {
        for (bounds, count) in [(rows, self.rows), (columns, self.columns)] {
            let ends = (bounds.first().copied(), bounds.last().copied());
            assert_eq!(ends, (Some(0), Some(count)), "bounds of a cut");
            assert!(bounds.is_sorted(), "bounds of a cut fall");
        }
        let part = |rows: &[usize], columns: &[usize]| {
            let (height, width) = (rows[1] - rows[0], columns[1] - columns[0]);
            let offset = if height * width == 0 { 0 } else { rows[0] * self.row_stride + columns[0] };
            // SAFETY: a part that has values starts within the slice. Bounds never fall, so parts do not overlap.
            let data = unsafe { self.data.add(offset) };
            MatrixMut { data, rows: height, columns: width, row_stride: self.row_stride, values: PhantomData }
        };
        rows.windows(2).flat_map(|rows| columns.windows(2).map(move |columns| part(rows, columns))).collect()
    }
}

fn extent(rows: usize, columns: usize, row_stride: usize) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row_stride + columns }
}

/// What becomes of the values that are in the destination already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    /// The product takes their place.
    Overwrite,
    /// The product is added to them.
    Add,
}

/// `destination (+)= lhs · rhs`.
pub(super) fn multiply(destination: MatrixMut<'_>, lhs: Matrix<'_>, rhs: Matrix<'_>, mode: Destination) {
    scaled_multiply(destination, 1.0, lhs, rhs, mode);
}

/// `destination (+)= scale · lhs · rhs`.
pub(super) fn scaled_multiply(
    destination: MatrixMut<'_>,
    scale: f32,
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    mode: Destination,
) {
    let (m, n, k) = (destination.rows, destination.columns, lhs.columns);
    assert_eq!((lhs.rows, rhs.rows, rhs.columns), (m, k, n), "shapes of a matrix product");
    // SAFETY: each matrix was cut to what its rows, columns and strides reach, the shapes fit together, and the destination
    // is a view of its own, so nothing else reads it.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            destination.data,
            1,
            destination.row_stride as isize,
            mode == Destination::Add,
            lhs.data.as_ptr(),
            lhs.column_stride as isize,
            lhs.row_stride as isize,
            rhs.data.as_ptr(),
            rhs.column_stride as isize,
            rhs.row_stride as isize,
            1.0f32,
            scale,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// How the result of a product is cut into tiles: by the shapes alone.
pub(super) struct Tiles {
    rows: Vec<usize>,
    columns: Vec<usize>,
}

impl Tiles {
    /// Tiles of a `rows` x `columns` result of sums of `depth` products.
    pub fn new(rows: usize, columns: usize, depth: usize) -> Self {
        let most = (rows * columns * depth / SMALLEST_TILE).clamp(1, MOST_TILES);
        let fits = |cuts: usize, side: usize| cuts == 1 || side / cuts >= SHORTEST_SIDE;
        let grids = (0..=most.ilog2()).flat_map(|power| (0..=power).map(move |p| (power, 1 << p, 1 << (power - p))));
        let fitting = grids.filter(|(_, r, c)| fits(*r, rows) && fits(*c, columns));
        // As many tiles as possible; among these the grid that packs the fewest values.
        let best = fitting.min_by_key(|(power, r, c)| (std::cmp::Reverse(*power), c * rows + r * columns));
        let (_, row_cuts, column_cuts) = best.unwrap_or((0, 1, 1));
        let bounds = |cuts: usize, side: usize| (0..=cuts).map(|i| i * side / cuts).collect();
        Self { rows: bounds(row_cuts, rows), columns: bounds(column_cuts, columns) }
    }

    /// Cuts a matrix of the result's shape.
    pub fn cut<'a>(&self, matrix: MatrixMut<'a>) -> Vec<MatrixMut<'a>> {
        matrix.cut(&self.rows, &self.columns)
    }

    /// Rows and columns of each tile, in the order of [`cut`](Self::cut).
    pub fn places(&self) -> Vec<(Range<usize>, Range<usize>)> {
        let ranges = |bounds: &[usize]| bounds.windows(2).map(|pair| pair[0]..pair[1]).collect::<Vec<_>>();
        let columns = ranges(&self.columns);
        ranges(&self.rows).into_iter().flat_map(|r| columns.iter().map(move |c| (r.clone(), c.clone()))).collect()
    }
}

/// `out (+)= lhs · rhs` on all threads; `then(tile, rows, columns)` follows for each tile of the result, while it is still in
/// the cache.
pub(super) fn multiply_shared(
    out: MatrixMut<'_>,
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    mode: Destination,
    then: impl Fn(MatrixMut<'_>, Range<usize>, Range<usize>) + Sync,
) {
    let tiles = Tiles::new(out.rows, out.columns, lhs.columns);
    let work = |(mut tile, (rows, columns)): (MatrixMut<'_>, (Range<usize>, Range<usize>))| {
        multiply(tile.reborrow(), lhs.some_rows(&rows), rhs.some_columns(&columns), mode);
        then(tile, rows, columns);
    };
    let (cut, places) = (tiles.cut(out), tiles.places());
    if places.len() == 1 {
        cut.into_iter().zip(places).for_each(work);
    } else {
        cut.into_par_iter().zip(places).for_each(work);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposed_factor_and_a_strided_destination_land_where_they_should() {
        // [[1, 2], [3, 4]]ᵀ · [[1, 0], [1, 1]] = [[4, 3], [6, 4]]
        let (lhs, rhs) = ([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 1.0, 1.0]);
        let mut out = [9.0, 9.0, 9.0, 1.0, 1.0];
        let product = |out: &mut [f32], mode| {
            let lhs = Matrix::new(&lhs, 2, 2).transposed();
            multiply(MatrixMut::strided(out, 2, 2, 3), lhs, Matrix::new(&rhs, 2, 2), mode);
        };
        product(&mut out, Destination::Overwrite);
        assert_eq!(out, [4.0, 3.0, 9.0, 6.0, 4.0]);
        product(&mut out, Destination::Add);
        assert_eq!(out, [8.0, 6.0, 9.0, 12.0, 8.0]);
    }

    #[test]
    fn the_parts_of_a_cut_are_disjoint_and_are_everything() {
        let mut values = vec![0.0; 5 * 7];
        let parts = MatrixMut::strided(&mut values, 5, 6, 7).cut(&[0, 2, 2, 5], &[0, 1, 6]);
        assert_eq!(parts.len(), 6);
        for (i, mut part) in parts.into_iter().enumerate() {
            (0..part.rows()).for_each(|row| part.row(row).iter_mut().for_each(|value| *value += 1.0 + i as f32));
        }
        for (row, values) in values.chunks(7).enumerate() {
            let (first, others) = if row < 2 { (1.0, 2.0) } else { (5.0, 6.0) };
            assert_eq!(values, [first, others, others, others, others, others, 0.0]);
        }
    }

    #[test]
    fn a_shared_product_is_the_product_of_whole_numbers_at_every_size() {
        for (m, n, k) in [(1, 1, 1), (0, 3, 2), (3, 2, 0), (40, 500, 90), (300, 17, 200), (129, 257, 130)] {
            let number = |i: usize| ((i * 7 + i / 5) % 13) as f32 - 6.0;
            let (a, b): (Vec<f32>, Vec<f32>) = ((0..m * k).map(number).collect(), (0..k * n).map(number).collect());
            let mut out = vec![1.0; m * n];
            // The epilogue sees its own tile: it adds the place of each value.
            let place = |mut tile: MatrixMut<'_>, rows: Range<usize>, columns: Range<usize>| {
                for (i, row) in rows.enumerate() {
                    tile.row(i).iter_mut().zip(columns.clone()).for_each(|(v, column)| *v += (row * n + column) as f32);
                }
            };
            let (lhs, rhs) = (Matrix::new(&a, m, k), Matrix::new(&b, k, n));
            multiply_shared(MatrixMut::new(&mut out, m, n), lhs, rhs, Destination::Add, place);
            for (i, value) in out.iter().enumerate() {
                let sum: f32 = (0..k).map(|d| a[i / n * k + d] * b[d * n + i % n]).sum();
                assert_eq!(*value, 1.0 + sum + i as f32, "{m} x {n} x {k}, value {i}");
            }
        }
    }

    #[test]
    fn tiles_are_few_and_near_square() {
        let tiles = Tiles::new(1024, 3072, 768);
        assert_eq!((tiles.rows.len() - 1, tiles.columns.len() - 1), (2, 4));
        let tiles = Tiles::new(1024, 768, 768);
        assert_eq!((tiles.rows.len() - 1) * (tiles.columns.len() - 1), 8);
        assert_eq!(Tiles::new(8, 2, 768).places(), [(0..8, 0..2)]);
    }
}

//! Views of matrices in slices.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

/// A matrix that is read.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
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
pub(crate) struct MatrixMut<'a> {
    pub(super) data: *mut f32,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
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

    /// A matrix of values that are not there yet, to be written before anything reads them.
    ///
    /// # Safety
    /// [`row`](Self::row) may be asked for a row that is written, and no other.
    pub unsafe fn unwritten(data: &'a mut [MaybeUninit<f32>], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns, "values of a matrix");
        Self { data: data.as_mut_ptr().cast(), rows, columns, row_stride: columns, values: PhantomData }
    }

    /// Where a row starts; nothing may be read there that is not written yet.
    pub(super) fn start(&mut self, row: usize) -> *mut f32 {
        assert!(row < self.rows, "rows of a matrix");
        // SAFETY: the row lies within the slice that the view was made from.
        unsafe { self.data.add(row * self.row_stride) }
    }

    /// Copies a row of a matrix of the same shape.
    pub(super) fn copy_row(&mut self, from: &mut MatrixMut<'_>, row: usize) {
        assert_eq!((self.rows, self.columns), (from.rows, from.columns), "shape of a copy");
        // SAFETY: both rows have that many values, and two views have none in common.
        unsafe { self.start(row).copy_from_nonoverlapping(from.row(row).as_ptr(), self.columns) };
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
pub(crate) enum Destination {
    /// The product takes their place.
    Overwrite,
    /// The product is added to them.
    Add,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_cut_are_disjoint_and_are_everything() {
        let mut values = vec![0.0; 5 * 7];
        let parts = MatrixMut::strided(&mut values, 5, 6, 7).cut(&[0, 2, 2, 5], &[0, 1, 6]);
        assert_eq!(parts.len(), 6);
        for (i, mut part) in parts.into_iter().enumerate() {
            (0..part.rows).for_each(|row| part.row(row).iter_mut().for_each(|value| *value += 1.0 + i as f32));
        }
        for (row, values) in values.chunks(7).enumerate() {
            let (first, others) = if row < 2 { (1.0, 2.0) } else { (5.0, 6.0) };
            assert_eq!(values, [first, others, others, others, others, others, 0.0]);
        }
    }
}

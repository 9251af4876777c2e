//! Matrix products of slices on the calling thread. Threads come from outside: two products side by side are quicker
//! than one product on two threads.

use gemm::Parallelism;

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
}

/// A matrix that is written.
pub(super) struct MatrixMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// `rows` rows of `columns` values, row after row.
    pub fn new(data: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// `rows` rows of `columns` values, each row `row_stride` values after the one before; rows must not overlap.
    pub fn strided(data: &'a mut [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        let data = &mut data[..extent(rows, columns, row_stride)];
        Self { data, rows, columns, row_stride }
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
    let (m, n, k) = (destination.rows, destination.columns, lhs.columns);
    assert_eq!((lhs.rows, rhs.rows, rhs.columns), (m, k, n), "shapes of a matrix product");
    // SAFETY: `strided` has cut each slice to what its rows, columns and strides reach, the shapes fit together, and the
    // destination is borrowed mutably, so nothing else reads it.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            destination.data.as_mut_ptr(),
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
            1.0f32,
            false,
            false,
            false,
            Parallelism::None,
        );
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
}

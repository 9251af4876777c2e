//! Convolutions with a kernel of 3 x 3 by Winograd's minimal filtering, `F(4 x 4, 3 x 3)` (Lavin and Gray 2016): tiles of 4 x 4
//! results from 6 x 6 values with 36 multiplications instead of 144. Inputs, weights and results are transformed; between
//! the transforms there are 36 matrix products over channels, one for each place in a transformed tile.

use std::ops::Range;

use rayon::prelude::*;

use super::gather::{GatherOuter, GatherProduct, OuterLayout, PanelView, Rows};
use super::geometry::{Conv, Piece, Window, split};
use super::moments::Moments;
use super::norm::{Epilogue, finish};
use super::norm_gradient::Sums;
use super::operands::{Incoming, InputGradient, Source, Weighting};
use crate::kernels::buffers::Buffer;
use crate::kernels::gemm::Destination;
use crate::kernels::parallel::for_each_chunk;
use crate::kernels::simd::{Kernel, Simd, WIDE, dispatch, shape};

/// Side of a tile of results.
const TILE: usize = 4;
/// Side of the tile of values that they are made from.
const SIDE: usize = TILE + 2;
/// Places of a transformed tile.
const PLACES: usize = SIDE * SIDE;
/// Tiles at least in a group, if there are so many: rows of the matrix products. Their transforms fit into a usual third-level
/// cache.
const FEWEST_TILES: usize = 256;
/// Tiles at least in a piece, which one thread transforms.
const PIECE_TILES: usize = 28;
/// Height and width of an image at least: smaller ones fill their tiles badly.
const SMALLEST: usize = 7;
/// Tiles at least in all: for fewer it does not pay to transform the weights.
const FEWEST_IN_ALL: usize = 64;
/// Channels at least: with fewer the transforms cost more than they save.
const FEWEST_CHANNELS: usize = 32;

/// Whether a convolution is quicker this way.
pub(crate) fn suits(conv: Conv) -> bool {
    let channels = [conv.inputs, conv.outputs];
    let tiles = conv.batch * conv.height.div_ceil(TILE) * conv.width.div_ceil(TILE);
    conv.kernel == 3
        && conv.stride == 1
        && tiles >= FEWEST_IN_ALL
        && conv.height.min(conv.width) >= SMALLEST
        && channels.iter().all(|channels| *channels >= FEWEST_CHANNELS && channels.is_multiple_of(shape().panel))
}

/// How images are cut into tiles.
#[derive(Clone, Copy)]
struct Tiles {
    conv: Conv,
    /// Rows and columns of tiles of an image.
    rows: usize,
    columns: usize,
}

impl Tiles {
    fn of(conv: Conv) -> Self {
        Self { conv, rows: conv.height.div_ceil(TILE), columns: conv.width.div_ceil(TILE) }
    }

    /// The lines of the image that a piece, which counts rows of tiles, stands for.
    fn lines(self, piece: &Piece) -> Range<usize> {
        piece.lines.start * TILE..(piece.lines.end * TILE).min(self.conv.height)
    }

    /// Groups of images whose tiles are transformed, multiplied and transformed back together, as pieces that threads share.
    fn groups(self) -> Vec<Vec<Piece>> {
        let images = FEWEST_TILES.div_ceil(self.rows * self.columns);
        let rows = PIECE_TILES.div_ceil(self.columns);
        let of_image = |image: usize| {
            let starts = (0..self.rows).step_by(rows);
            starts.map(move |start| Piece { image, lines: start..(start + rows).min(self.rows) })
        };
        let starts = (0..self.conv.batch).step_by(images);
        starts.map(|first| (first..(first + images).min(self.conv.batch)).flat_map(of_image).collect()).collect()
    }

    fn count(self, piece: &Piece) -> usize {
        piece.lines.len() * self.columns
    }

    /// Values of a piece of a result with so many channels.
    fn len(self, piece: &Piece, channels: usize) -> usize {
        self.lines(piece).len() * self.conv.width * channels
    }

    /// For each tile of a group: where a place of it begins when each piece has its places one after the other.
    fn starts(self, group: &[Piece], place: usize, channels: usize) -> Vec<usize> {
        let (mut starts, mut base) = (Vec::new(), 0);
        for piece in group {
            let count = self.count(piece);
            starts.extend((0..count).map(|tile| (base + place * count + tile) * channels));
            base += PLACES * count;
        }
        starts
    }

    /// The values that the tiles of a piece are made from.
    fn seen(self, piece: &Piece) -> Window {
        let first = (piece.lines.start * TILE) as isize - 1;
        Window { first, lines: piece.lines.len() * TILE + 2, left: 1, pixels: self.columns * TILE + 2 }
    }

    /// The tiles of a piece themselves.
    fn own(self, piece: &Piece) -> Window {
        let first = (piece.lines.start * TILE) as isize;
        Window { first, lines: piece.lines.len() * TILE, left: 0, pixels: self.columns * TILE }
    }
}

/// What can be read a window at a time.
trait Read: Sync {
    fn fill(&self, conv: Conv, windows: &[(usize, Window)], scratch: &mut Vec<f32>);
}

impl Read for Source<'_> {
    fn fill(&self, conv: Conv, windows: &[(usize, Window)], scratch: &mut Vec<f32>) {
        self.fill_windows(conv, windows, scratch);
    }
}

impl Read for Incoming<'_> {
    fn fill(&self, conv: Conv, windows: &[(usize, Window)], scratch: &mut Vec<f32>) {
        self.fill_windows(conv, windows, scratch);
    }
}

/// A transform along one axis of a tile. Closures would not do: what is not inlined is compiled without vectors.
trait Along<const N: usize, const M: usize> {
    fn along<S: Simd>(simd: S, values: [S::Wide; N]) -> [S::Wide; M];
}

/// `a * b + c`.
#[inline(always)]
fn m<S: Simd>(simd: S, a: S::Wide, b: f32, c: S::Wide) -> S::Wide {
    simd.wide_multiply_add(a, simd.wide_splat(b), c)
}

/// `Bᵀ d`: of the values that a tile is made from.
struct Input;

impl Along<SIDE, SIDE> for Input {
    #[inline(always)]
    fn along<S: Simd>(s: S, d: [S::Wide; SIDE]) -> [S::Wide; SIDE] {
        let (even, odd) = (m(s, d[2], -4.0, d[4]), m(s, d[1], -4.0, d[3]));
        let (near, far) = (m(s, d[2], -1.0, d[4]), m(s, d[1], -1.0, d[3]));
        [
            m(s, d[0], 4.0, m(s, d[2], -5.0, d[4])),
            m(s, odd, 1.0, even),
            m(s, odd, -1.0, even),
            m(s, far, 2.0, near),
            m(s, far, -2.0, near),
            m(s, d[1], 4.0, m(s, d[3], -5.0, d[5])),
        ]
    }
}

/// `Aᵀ m`: of the products, to results.
struct Output;

impl Along<SIDE, TILE> for Output {
    #[inline(always)]
    fn along<S: Simd>(s: S, x: [S::Wide; SIDE]) -> [S::Wide; TILE] {
        let (sum, difference) = (m(s, x[2], 1.0, x[1]), m(s, x[2], -1.0, x[1]));
        let (far_sum, far_difference) = (m(s, x[4], 1.0, x[3]), m(s, x[4], -1.0, x[3]));
        [
            m(s, far_sum, 1.0, m(s, sum, 1.0, x[0])),
            m(s, far_difference, 2.0, difference),
            m(s, far_sum, 4.0, sum),
            m(s, far_difference, 8.0, m(s, difference, 1.0, x[5])),
        ]
    }
}

/// `A g`: the transpose of [`Output`], of the gradients of a tile.
struct Gradient;

impl Along<TILE, SIDE> for Gradient {
    #[inline(always)]
    fn along<S: Simd>(s: S, g: [S::Wide; TILE]) -> [S::Wide; SIDE] {
        let (even, odd) = (m(s, g[2], 1.0, g[0]), m(s, g[3], 1.0, g[1]));
        let (far_even, far_odd) = (m(s, g[2], 4.0, g[0]), m(s, g[3], 4.0, g[1]));
        [
            g[0],
            m(s, odd, 1.0, even),
            m(s, odd, -1.0, even),
            m(s, far_odd, 2.0, far_even),
            m(s, far_odd, -2.0, far_even),
            g[3],
        ]
    }
}

/// The rows of the transform of weights, `G`.
const WEIGHTS: [[f32; 3]; SIDE] = [
    [0.25, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// Transforms the tiles of a piece, whose window is `from`: place `p` of tile `t` is written to
/// `out[(p * count + t) * channels..]`, where `count` is the number of tiles.
struct Forth<'a> {
    tiles: Tiles,
    channels: usize,
    piece: &'a Piece,
    from: &'a [f32],
    /// Whether tiles of 6 x 6 values that reach over each other are read, or tiles of 4 x 4 gradients.
    overlapping: bool,
    out: &'a mut [f32],
}

impl Kernel for Forth<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if self.overlapping {
            self.transform::<S, Input, SIDE>(simd)
        } else {
            self.transform::<S, Gradient, TILE>(simd)
        }
    }
}

impl Forth<'_> {
    #[inline(always)]
    fn transform<S: Simd, A: Along<N, SIDE>, const N: usize>(self, simd: S) {
        let Self { tiles, channels, piece, from, out, .. } = self;
        let count = tiles.count(piece);
        let line = (tiles.columns * TILE + N - TILE) * channels;
        for tile in 0..count {
            let corner = tile / tiles.columns * TILE * line + tile % tiles.columns * TILE * channels;
            let last = corner + (N - 1) * (line + channels) + channels;
            let end = ((PLACES - 1) * count + tile + 1) * channels;
            assert!(last <= from.len() && end <= out.len() && channels.is_multiple_of(WIDE), "a tile in its window");
            for channel in (0..channels).step_by(WIDE) {
                let zero = simd.wide_splat(0.0);
                let mut half = [[zero; N]; SIDE];
                for x in 0..N {
                    let mut column = [zero; N];
                    for (y, value) in column.iter_mut().enumerate() {
                        // SAFETY: the last value of the tile has been compared with the length.
                        *value = unsafe { simd.wide_load(from, corner + x * channels + channel + y * line) };
                    }
                    for (half, value) in half.iter_mut().zip(A::along(simd, column)) {
                        half[x] = value;
                    }
                }
                for (y, half) in half.into_iter().enumerate() {
                    for (x, value) in A::along(simd, half).into_iter().enumerate() {
                        let at = ((y * SIDE + x) * count + tile) * channels + channel;
                        // SAFETY: the last place of the tile has been compared with the length.
                        unsafe { simd.wide_store(value, out, at) };
                    }
                }
            }
        }
    }
}

/// Transforms products back to the lines of a piece.
struct Back<'a> {
    tiles: Tiles,
    channels: usize,
    piece: &'a Piece,
    from: &'a [f32],
    first: usize,
    count: usize,
    out: &'a mut [f32],
}

impl Kernel for Back<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { tiles, channels, piece, from, first, count, out } = self;
        let (width, lines) = (tiles.conv.width, tiles.lines(piece).len());
        assert!(lines * width * channels <= out.len() && channels.is_multiple_of(WIDE), "a piece in its result");
        for tile in 0..piece.lines.len() * tiles.columns {
            let (top, left) = (tile / tiles.columns * TILE, tile % tiles.columns * TILE);
            let end = ((PLACES - 1) * count + first + tile + 1) * channels;
            assert!(end <= from.len(), "a tile in its products");
            for channel in (0..channels).step_by(WIDE) {
                let zero = simd.wide_splat(0.0);
                let mut half = [[zero; SIDE]; TILE];
                for x in 0..SIDE {
                    let mut column = [zero; SIDE];
                    for (y, value) in column.iter_mut().enumerate() {
                        let at = ((y * SIDE + x) * count + first + tile) * channels + channel;
                        // SAFETY: the last place of the tile has been compared with the length.
                        *value = unsafe { simd.wide_load(from, at) };
                    }
                    for (half, value) in half.iter_mut().zip(Output::along(simd, column)) {
                        half[x] = value;
                    }
                }
                for (y, half) in half.into_iter().enumerate().take(lines - top) {
                    for (x, value) in Output::along(simd, half).into_iter().enumerate().take(width - left) {
                        // SAFETY: line and pixel are inside the piece, which has been compared with the length.
                        unsafe { simd.wide_store(value, out, ((top + y) * width + left + x) * channels + channel) };
                    }
                }
            }
        }
    }
}

/// The transformed tiles of a group, each piece with its places one after the other.
fn transform(tiles: Tiles, channels: usize, read: &impl Read, group: &[Piece], overlapping: bool, out: &mut [f32]) {
    let parts = split(out, group.iter().map(|piece| PLACES * tiles.count(piece) * channels));
    group.par_iter().zip(parts).for_each_init(Vec::new, |scratch: &mut Vec<f32>, (piece, out)| {
        let window = if overlapping { tiles.seen(piece) } else { tiles.own(piece) };
        read.fill(tiles.conv, &[(piece.image, window)], scratch);
        let from = &scratch[..window.len(channels)];
        dispatch(Forth { tiles, channels, piece, from, overlapping, out });
    });
}

/// The convolution of what `read` reads, `channels` channels, with transformed weights to `outputs` channels; `after` is
/// called with the place of each piece in the result and its values.
fn convolve<State: Send>(
    tiles: Tiles,
    [channels, outputs]: [usize; 2],
    read: &impl Read,
    weights: &Weights,
    mut y: &mut [f32],
    after: impl Fn(usize, &mut [f32]) -> State + Sync,
) -> Vec<State> {
    let (mut states, mut at) = (Vec::new(), 0);
    let groups = tiles.groups();
    let most = groups.first().map_or(0, |group| group.iter().map(|piece| tiles.count(piece)).sum::<usize>());
    let (mut transformed, mut products) = (Buffer::any(PLACES * most * channels), Buffer::any(PLACES * most * outputs));
    for group in groups {
        let count: usize = group.iter().map(|piece| tiles.count(piece)).sum();
        transform(tiles, channels, read, &group, true, &mut transformed[..PLACES * count * channels]);
        let targets: Vec<usize> = (0..count).map(|tile| tile * outputs).collect();
        let places = products[..PLACES * count * outputs].par_chunks_exact_mut(count * outputs).enumerate();
        places.for_each(|(place, out)| {
            dispatch(GatherProduct {
                rows: Rows {
                    values: &transformed,
                    starts: &tiles.starts(&group, place, channels),
                    taps: 1,
                    depth: channels,
                },
                panels: weights.place(place),
                out,
                targets: &targets,
                destination: Destination::Overwrite,
            });
        });
        let firsts = group.iter().scan(0, |first, piece| Some(std::mem::replace(first, *first + tiles.count(piece))));
        let (out, behind) = y.split_at_mut(group.iter().map(|piece| tiles.len(piece, outputs)).sum());
        y = behind;
        let len = out.len();
        let parts = split(out, group.iter().map(|piece| tiles.len(piece, outputs)));
        let starts = group.iter().scan(at, |at, piece| Some(std::mem::replace(at, *at + tiles.len(piece, outputs))));
        let work: Vec<_> = group.iter().zip(firsts).zip(starts).zip(parts).collect();
        let of_piece = |(((piece, first), at), out): (((&Piece, usize), usize), &mut [f32])| {
            dispatch(Back { tiles, channels: outputs, piece, from: &products, first, count, out });
            after(at, out)
        };
        states.extend(work.into_par_iter().map(of_piece).collect::<Vec<_>>());
        at += len;
    }
    states
}

/// Transformed weights: panels of columns, each with its 36 matrices one after the other.
struct Weights {
    values: Buffer,
    rows: usize,
    columns: usize,
    /// Columns of a panel: of whole wide vectors.
    width: usize,
}

impl Weights {
    /// Of the kernels that `kernel(row, column)` gives.
    fn new(rows: usize, columns: usize, kernel: impl Fn(usize, usize) -> [f32; 9] + Sync) -> Self {
        let (mut values, width) = (Buffer::any(PLACES * rows * columns), shape().panel);
        let len = PLACES * rows * width;
        for_each_chunk(&mut values, len, PLACES * rows * columns, |panel, out| {
            for (row, first) in (0..rows).flat_map(|row| (0..width).step_by(WIDE).map(move |first| (row, first))) {
                let mut kernels = [[0.0; WIDE]; 9];
                for column in 0..WIDE {
                    let kernel = kernel(row, panel * width + first + column);
                    kernels.iter_mut().zip(kernel).for_each(|(to, value)| to[column] = value);
                }
                dispatch(OfWeights { kernels: &kernels, stride: rows * width, out: &mut out[row * width + first..] });
            }
        });
        Self { values, rows, columns, width }
    }

    fn place(&self, place: usize) -> PanelView<'_> {
        let Self { rows, columns, width, .. } = *self;
        let values = &self.values[place * rows * width..];
        PanelView { values, rows, columns, width, stride: PLACES * rows * width }
    }
}

/// `G w Gᵀ` of [`WIDE`] kernels side by side.
struct OfWeights<'a> {
    kernels: &'a [[f32; WIDE]; 9],
    /// Values from one place of the result to the next.
    stride: usize,
    out: &'a mut [f32],
}

impl Kernel for OfWeights<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { kernels, stride, out } = self;
        for (y, by) in WEIGHTS.iter().enumerate() {
            let mut half = [[0.0f32; WIDE]; 3];
            for (x, half) in half.iter_mut().enumerate() {
                for (i, half) in half.iter_mut().enumerate() {
                    *half = by[0] * kernels[x][i] + by[1] * kernels[3 + x][i] + by[2] * kernels[6 + x][i];
                }
            }
            for (x, by) in WEIGHTS.iter().enumerate() {
                let out = &mut out[(y * SIDE + x) * stride..][..WIDE];
                for (i, out) in out.iter_mut().enumerate() {
                    *out = by[0] * half[0][i] + by[1] * half[1][i] + by[2] * half[2][i];
                }
            }
        }
    }
}

/// `Gᵀ u G`, the transpose of [`OfWeights`], of [`WIDE`] transformed gradients side by side: `from[place]` to
/// `out[column * 9 + place]`.
struct ToWeights<'a> {
    from: &'a [[f32; WIDE]; PLACES],
    out: &'a mut [f32],
}

impl Kernel for ToWeights<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { from, out } = self;
        let mut half = [[simd.wide_splat(0.0); SIDE]; 3];
        for (k, by) in WEIGHTS.iter().enumerate() {
            for x in 0..SIDE {
                // SAFETY: the place has as many values as a vector.
                let value = unsafe { simd.wide_load(&from[k * SIDE + x], 0) };
                for (half, by) in half.iter_mut().zip(by) {
                    half[x] = m(simd, value, *by, half[x]);
                }
            }
        }
        let mut places = [[0.0f32; WIDE]; 9];
        for (y, half) in half.iter().enumerate() {
            for x in 0..3 {
                let terms = half.iter().zip(&WEIGHTS);
                let sum = terms.fold(simd.wide_splat(0.0), |sum, (half, by)| m(simd, *half, by[x], sum));
                // SAFETY: the place has as many values as a vector.
                unsafe { simd.wide_store(sum, &mut places[y * 3 + x], 0) };
            }
        }
        for (column, out) in out.chunks_exact_mut(9).enumerate() {
            out.iter_mut().zip(&places).for_each(|(out, place)| *out = place[column]);
        }
    }
}

/// As [`passes::forward`](super::passes::forward).
pub(crate) fn forward(conv: Conv, source: Source, weight: &[f32], epilogue: Epilogue) -> (Buffer, Moments) {
    let kernel = |input: usize, output: usize| std::array::from_fn(|i| weight[(output * conv.inputs + input) * 9 + i]);
    let weights = Weights::new(conv.inputs, conv.outputs, kernel);
    let mut y = Buffer::any(conv.output_len());
    let after = |at: usize, out: &mut [f32]| {
        let mut moments = Moments::zeros(conv.outputs);
        finish(epilogue, at, out, &mut moments);
        moments
    };
    let all_moments = convolve(Tiles::of(conv), [conv.inputs, conv.outputs], &source, &weights, &mut y, after);
    (y, Moments::of(conv.outputs, &all_moments))
}

/// As [`passes::backward`](super::passes::backward).
pub(crate) fn backward(
    conv: Conv,
    source: Source,
    incoming: Incoming,
    weighting: Weighting,
    input: InputGradient,
) -> (Option<Vec<f32>>, Vec<Sums>) {
    let Weighting { weight, wanted, .. } = weighting;
    let (dx, destination, behind) = input.parts();
    let mut sums = Sums::zeros_for(behind, conv.inputs);
    if let Some(dx) = dx {
        // The gradient of the input is a convolution with the kernels turned round.
        let kernel = |output: usize, input: usize| {
            let factor = weighting.factor(output);
            std::array::from_fn(|i| weight[(output * conv.inputs + input) * 9 + 8 - i] * factor)
        };
        let weights = Weights::new(conv.outputs, conv.inputs, kernel);
        let (tiles, channels) = (Tiles::of(conv), [conv.outputs, conv.inputs]);
        let line_len = conv.width * conv.inputs;
        let finish = |at: usize, gradient: &mut [f32]| {
            let mut sums = Sums::zeros_for(behind, conv.inputs);
            source.back_through_relu(at, gradient, line_len, behind, &mut sums);
            sums
        };
        let all_sums = if destination == Destination::Overwrite {
            convolve(tiles, channels, &incoming, &weights, dx, finish)
        } else {
            let mut own = Buffer::any(dx.len());
            convolve(tiles, channels, &incoming, &weights, &mut own, |_, _| ());
            let of_line = |(i, dx): (usize, &mut [f32])| {
                dx.iter_mut().zip(&own[i * line_len..]).for_each(|(dx, own)| *dx += own);
                finish(i * line_len, dx)
            };
            dx.par_chunks_mut(line_len).enumerate().map(of_line).collect()
        };
        sums = Sums::total(&all_sums, behind, conv.inputs);
    }
    (wanted.then(|| weight_gradient(conv, source, incoming)), sums)
}

fn weight_gradient(conv: Conv, source: Source, incoming: Incoming) -> Vec<f32> {
    let (tiles, Conv { inputs, outputs, .. }) = (Tiles::of(conv), conv);
    let layout = OuterLayout::new(outputs, inputs);
    let groups = tiles.groups();
    let most = groups.first().map_or(0, |group| group.iter().map(|piece| tiles.count(piece)).sum::<usize>());
    let (mut values, mut gradients) = (Buffer::any(PLACES * most * inputs), Buffer::any(PLACES * most * outputs));
    let mut total = Buffer::any(PLACES * layout.len());
    for (i, group) in groups.into_iter().enumerate() {
        let count: usize = group.iter().map(|piece| tiles.count(piece)).sum();
        transform(tiles, inputs, &source, &group, true, &mut values[..PLACES * count * inputs]);
        transform(tiles, outputs, &incoming, &group, false, &mut gradients[..PLACES * count * outputs]);
        let places = total.par_chunks_exact_mut(layout.len()).enumerate();
        places.for_each(|(place, out)| {
            dispatch(GatherOuter {
                left: &gradients,
                left_starts: &tiles.starts(&group, place, outputs),
                right: Rows { values: &values, starts: &tiles.starts(&group, place, inputs), taps: 1, depth: inputs },
                layout,
                out,
                destination: if i == 0 { Destination::Overwrite } else { Destination::Add },
            });
        });
    }
    let mut out = vec![0.0; conv.weight_len()];
    for_each_chunk(&mut out, inputs * 9, PLACES * conv.weight_len(), |output, out| {
        for (first, out) in (0..inputs).step_by(WIDE).zip(out.chunks_exact_mut(9 * WIDE)) {
            let mut from = [[0.0; WIDE]; PLACES];
            for (from, values) in from.iter_mut().zip(total.chunks_exact(layout.len())) {
                from.copy_from_slice(&layout.row_from(values, output, first)[..WIDE]);
            }
            dispatch(ToWeights { from: &from, out });
        }
    });
    out
}

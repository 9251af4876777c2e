//! Which pixels meet which, and how a convolution is cut into slabs and blocks.

use std::ops::Range;

/// Rows of a matrix product in a block, about: enough to use a panel of weights often.
const FEWEST_ROWS: usize = 168;
/// So many rows where they are short: values of one of its rows times rows, so that most blocks stay in the second-level cache.
const MOST_ROWS: usize = 336;
const BLOCK_VALUES: usize = 48 << 10;
/// Slabs at most, and at least where each adds up a weight gradient of its own; always a power of two.
const SLABS: Range<usize> = 4..32;
/// Values of partial weight gradients at most, over all slabs (16 MiB), unless that leaves too few slabs.
const PARTIAL_VALUES: usize = 4 << 20;

/// The sizes of a convolution of feature maps `(batch, height, width, channels)` with an odd square kernel, padded by half
/// of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conv {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub kernel: usize,
    pub stride: usize,
}

impl Conv {
    pub fn padding(self) -> usize {
        self.kernel / 2
    }

    pub fn out_height(self) -> usize {
        (self.height - 1) / self.stride + 1
    }

    pub fn out_width(self) -> usize {
        (self.width - 1) / self.stride + 1
    }

    /// Pixels of the result.
    pub fn out_pixels(self) -> usize {
        self.batch * self.out_height() * self.out_width()
    }

    pub fn input_len(self) -> usize {
        self.batch * self.height * self.width * self.inputs
    }

    pub fn output_len(self) -> usize {
        self.out_pixels() * self.outputs
    }

    pub fn weight_len(self) -> usize {
        self.outputs * self.inputs * self.kernel * self.kernel
    }

    /// Lines of the result, over all images, that a slab has: slabs are what threads share. It depends on the sizes alone.
    pub fn lines_per_slab(self) -> usize {
        let slabs = 1 << (PARTIAL_VALUES / self.weight_len()).clamp(SLABS.start, SLABS.end).ilog2();
        (self.batch * self.out_height()).div_ceil(slabs).max(1)
    }

    /// The slabs: ranges of lines of the result, over all images.
    pub fn slabs(self) -> Vec<Range<usize>> {
        let lines = self.batch * self.out_height();
        let step = self.lines_per_slab();
        (0..lines).step_by(step).map(|start| start..(start + step).min(lines)).collect()
    }

    /// The blocks of a slab, each a list of pieces of images.
    pub fn blocks(self, slab: Range<usize>) -> impl Iterator<Item = Vec<Piece>> {
        let rows = (BLOCK_VALUES / self.inputs.max(self.outputs)).clamp(FEWEST_ROWS, MOST_ROWS);
        // About as many lines as these rows are, but no short block at the end of the slab.
        let lines = rows.div_ceil(self.out_width());
        let blocks = ((slab.len() + lines / 2) / lines).max(1);
        Piece::blocks(slab.clone(), slab.len().div_ceil(blocks), self.out_height())
    }

    /// Where the lines of the input begin that belong to a line of the result, over all images.
    pub fn input_line(self, line: usize) -> usize {
        let (image, line) = (line / self.out_height(), line % self.out_height());
        image * self.height + line * self.stride
    }

    /// The lines of the input that belong to a piece.
    pub fn input_lines(self, piece: &Piece) -> Range<usize> {
        let end = if piece.lines.end == self.out_height() { self.height } else { piece.lines.end * self.stride };
        piece.lines.start * self.stride..end
    }

    /// What of the input a piece of the result sees.
    pub fn seen(self, piece: &Piece) -> Window {
        let (padding, lines) = (self.padding(), (piece.lines.len() - 1) * self.stride + self.kernel);
        let first = (piece.lines.start * self.stride) as isize - padding as isize;
        Window { first, lines, left: padding, pixels: self.width + 2 * padding }
    }

    /// What of the result sees the lines of the input that belong to a piece, and the piece itself.
    pub fn seeing(self, piece: &Piece) -> Window {
        let (inputs, padding, stride) = (self.input_lines(piece), self.padding() as isize, self.stride as isize);
        let first = -(padding - inputs.start as isize).div_euclid(stride);
        let last = (inputs.end as isize - 1 + padding).div_euclid(stride);
        let left = self.padding() / self.stride;
        let right = (self.width - 1 + self.padding()) / self.stride - (self.out_width() - 1);
        Window { first, lines: (last - first + 1) as usize, left, pixels: left + self.out_width() + right }
    }

    /// For pixels of the input whose place along an axis leaves the rest `rest` when divided by the stride: which places of
    /// the kernel have met them.
    pub fn meetings(self, rest: usize) -> Meetings {
        let (padding, stride) = (self.padding(), self.stride);
        let kernel: Vec<usize> = (0..self.kernel)
            .rev()
            .filter(|k| (rest + padding + self.kernel * stride - k).is_multiple_of(stride))
            .collect();
        let last = kernel.first().copied().unwrap_or_default();
        let offset = (rest as isize + padding as isize - last as isize).div_euclid(stride as isize);
        Meetings { kernel, offset }
    }
}

/// Lines of one image of the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub image: usize,
    pub lines: Range<usize>,
}

impl Piece {
    /// Blocks of `count` lines of images of `height` lines, from a slab of lines over all images.
    pub fn blocks(slab: Range<usize>, count: usize, height: usize) -> impl Iterator<Item = Vec<Self>> {
        let end = slab.end;
        slab.step_by(count.max(1)).map(move |start| {
            let (mut pieces, mut line, block_end) = (Vec::new(), start, (start + count.max(1)).min(end));
            while line < block_end {
                let image = line / height;
                let next = block_end.min((image + 1) * height);
                pieces.push(Self { image, lines: line - image * height..next - image * height });
                line = next;
            }
            pieces
        })
    }
}

/// A part of an image and its padding: `lines` lines from `first` on, `pixels` pixels each, the image's own starting after
/// `left` of padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub first: isize,
    pub lines: usize,
    pub left: usize,
    pub pixels: usize,
}

impl Window {
    pub fn len(self, channels: usize) -> usize {
        self.lines * self.pixels * channels
    }

    /// Fills `out` with the window of an image of `height` lines of `width` pixels: zeros in the padding, and whatever
    /// `line(number, values)` writes for the lines of the image.
    pub fn fill(self, [height, width, channels]: [usize; 3], out: &mut [f32], mut line: impl FnMut(usize, &mut [f32])) {
        for (i, out) in out[..self.len(channels)].chunks_exact_mut((self.pixels * channels).max(1)).enumerate() {
            match usize::try_from(self.first + i as isize) {
                Ok(number) if number < height => {
                    let (start, end) = (self.left * channels, (self.left + width) * channels);
                    out[..start].fill(0.0);
                    out[end..].fill(0.0);
                    line(number, &mut out[start..end]);
                }
                _ => out.fill(0.0),
            }
        }
    }
}

/// The places of a kernel along one axis that meet a pixel, from the first pixel of the result that sees it to the last;
/// pixel `stride * m + rest` of the input is seen by the pixels from `m + offset` on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meetings {
    pub kernel: Vec<usize>,
    pub offset: isize,
}

/// Disjoint parts of `values` of the given lengths, in order.
pub(crate) fn split<T>(mut values: &mut [T], lengths: impl Iterator<Item = usize>) -> Vec<&mut [T]> {
    let mut parts = Vec::new();
    for length in lengths {
        let (part, rest) = values.split_at_mut(length);
        parts.push(part);
        values = rest;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conv(height: usize, kernel: usize, stride: usize) -> Conv {
        Conv { batch: 3, height, width: height, inputs: 2, outputs: 2, kernel, stride }
    }

    #[test]
    fn blocks_cover_every_line_once_and_slabs_do_too() {
        let conv = Conv { batch: 5, height: 9, width: 40, inputs: 300, outputs: 8, kernel: 3, stride: 2 };
        let lines: Vec<usize> = conv
            .slabs()
            .into_iter()
            .flat_map(|slab| conv.blocks(slab))
            .flatten()
            .flat_map(|piece| piece.lines.map(move |line| piece.image * 5 + line))
            .collect();
        assert_eq!(lines, (0..25).collect::<Vec<_>>());
    }

    #[test]
    fn a_pixel_meets_the_places_of_the_kernel_that_see_it() {
        for (height, kernel, stride) in [(7, 3, 1), (7, 3, 2), (8, 3, 2), (9, 7, 2), (6, 1, 2), (7, 5, 3), (5, 1, 1)] {
            let conv = conv(height, kernel, stride);
            for y in 0..height {
                let mut expected = Vec::new();
                for out in 0..conv.out_height() {
                    let k = y as isize + conv.padding() as isize - (out * stride) as isize;
                    if (0..kernel as isize).contains(&k) {
                        expected.push((out as isize, k as usize));
                    }
                }
                let meetings = conv.meetings(y % stride);
                let first = (y / stride) as isize + meetings.offset;
                let all = meetings.kernel.iter().enumerate().map(|(i, k)| (first + i as isize, *k));
                let inside = all.filter(|(out, _)| (0..conv.out_height() as isize).contains(out));
                assert_eq!(inside.collect::<Vec<_>>(), expected, "line {y} of {conv:?}");
                let seeing = conv.seeing(&Piece { image: 0, lines: 0..conv.out_height() });
                for out in first..first + meetings.kernel.len() as isize {
                    assert!((seeing.first..seeing.first + seeing.lines as isize).contains(&out), "{seeing:?} {out}");
                    assert!((0..seeing.pixels as isize).contains(&(out + seeing.left as isize)), "{seeing:?} {out}");
                }
            }
        }
    }
}

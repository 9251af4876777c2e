//! The two passes of a convolution over feature maps. Lanes, which threads share, go through their blocks one after the
//! other; what a block needs of the image is normalised into a scratch buffer on the way, so that nothing between two
//! convolutions is written to memory but what the first one gives.

use rayon::prelude::*;

use super::buffers::Buffer;
use super::geometry::{Conv, Piece, Window, split};
pub(super) use super::maps::Epilogue;
use super::maps::{Activate, Affine, Backward, Centre, Mask, Normalised, Spread, Sum, Sums, ThroughRelu, finish};
use super::product::{COLUMNS, GatherOuter, GatherProduct, OuterLayout, Panels, Rows};
use super::winograd;
use crate::ops::blocks::{for_each_chunk, sum_in_order};
use crate::ops::gemm::Destination;
use crate::ops::simd::dispatch;

/// What a convolution reads.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// `(batch, height, width, inputs)`.
    pub values: &'a [f32],
    /// What is to be read is `relu(scale * values + shift)`, if there is one; else the values themselves.
    pub affine: Option<&'a Affine>,
}

impl Source<'_> {
    /// Whether products can read the values where they are.
    fn direct(&self, conv: Conv) -> bool {
        self.affine.is_none() && conv.kernel == 1
    }

    /// Writes what the pieces of a block see into the scratch buffer.
    fn fill(&self, conv: Conv, pieces: &[Piece], scratch: &mut Vec<f32>) {
        let windows: Vec<_> = pieces.iter().map(|piece| (piece.image, conv.seen(piece))).collect();
        self.fill_windows(conv, &windows, scratch);
    }

    /// Writes windows of images into the scratch buffer.
    pub fn fill_windows(&self, conv: Conv, windows: &[(usize, Window)], scratch: &mut Vec<f32>) {
        reserve(scratch, windows.iter().map(|(_, window)| window.len(conv.inputs)).sum());
        let (line_len, mut at) = (conv.width * conv.inputs, 0);
        for (image, window) in windows {
            let image = &self.values[image * conv.height * line_len..];
            window.fill([conv.height, conv.width, conv.inputs], &mut scratch[at..], |line, out| {
                let x = &image[line * line_len..][..line_len];
                match self.affine {
                    Some(affine) => dispatch(Activate { x, affine, out }),
                    None => out.copy_from_slice(x),
                }
            });
            at += window.len(conv.inputs);
        }
    }

    /// The way back through the ReLU that the values come from: zeroes the gradient of lines of `line_len` values, the first
    /// of which is at `at`, where nothing came through, and adds to the sums of each normalisation in front of the ReLU,
    /// those by the batch having a centre.
    pub fn back_through_relu<'a>(
        &self,
        at: usize,
        gradient: &mut [f32],
        line_len: usize,
        centres: &[Option<Centre<'a>>],
        sums: &mut [Sums],
    ) {
        let Some(((first, others), (sum, other_sums))) = centres.split_first().zip(sums.split_first_mut()) else {
            return;
        };
        for (line, gradient) in gradient.chunks_exact_mut(line_len.max(1)).enumerate() {
            let range = at + line * line_len..at + (line + 1) * line_len;
            let part = |centre: &Option<Centre<'a>>| centre.map(|centre| centre.part(range.clone()));
            let (y, centre) = (&self.values[range.clone()], part(first));
            match (self.affine, centre) {
                (Some(affine), Some(centre)) => dispatch(Mask { gradient, affine, centre, sums: sum }),
                _ => dispatch(ThroughRelu { gradient, y, centre, sums: sum }),
            }
            for (centre, sums) in others.iter().zip(&mut *other_sums) {
                dispatch(Sum { gradient, centre: part(centre), sums });
            }
        }
    }
}

/// The gradient in front of the ReLU whose result is `y`, which has lines of `width` pixels, and the sums of each
/// normalisation in front of it.
pub(super) fn through_relu(
    gradient: &[f32],
    y: &[f32],
    [width, channels]: [usize; 2],
    centres: &[Option<Centre>],
) -> (Buffer, Vec<Sums>) {
    let line_len = width * channels;
    let source = Source { values: y, affine: None };
    // As few chunks as feed the threads of a workstation: each has sums of its own.
    let chunk = (y.len() / 64).max(1).next_multiple_of(line_len.max(1));
    let mut out = Buffer::any(y.len());
    let work = |(i, out): (usize, &mut [f32])| {
        let mut sums = Sums::zeros_for(centres, channels);
        out.copy_from_slice(&gradient[i * chunk..][..out.len()]);
        source.back_through_relu(i * chunk, out, line_len, centres, &mut sums);
        sums
    };
    let partials: Vec<Vec<Sums>> = out.par_chunks_mut(chunk).enumerate().map(work).collect();
    let sums = Sums::total(&partials, centres, channels);
    (out, sums)
}

/// Room for `len` values.
fn reserve(scratch: &mut Vec<f32>, len: usize) {
    if scratch.len() < len {
        scratch.resize(len, 0.0);
    }
}

/// For each pixel of the block: where the runs of values begin that it is made from, one a line of the kernel.
fn seen_starts(conv: Conv, pieces: &[Piece], direct: bool) -> Vec<usize> {
    let (mut starts, mut base) = (Vec::new(), 0);
    for piece in pieces {
        let window = conv.seen(piece);
        let line = if direct { conv.width } else { window.pixels };
        let first = if direct { (piece.image * conv.height + piece.lines.start * conv.stride) * line } else { base };
        for y in 0..piece.lines.len() {
            for x in 0..conv.out_width() {
                for tap in 0..conv.kernel {
                    starts.push((first + (y * conv.stride + tap) * line + x * conv.stride) * conv.inputs);
                }
            }
        }
        base += window.lines * window.pixels;
    }
    starts
}

/// Weights `(outputs, inputs, kernel, kernel)` as the forward pass multiplies with them.
fn forward_panels(conv: Conv, weight: &[f32]) -> Panels {
    let (kernel, inputs) = (conv.kernel, conv.inputs);
    let places = kernel * kernel;
    // So few inputs at a time that what is written stays in the first-level cache until all columns are.
    const TOGETHER: usize = 32;
    Panels::new(places * inputs, conv.outputs, |first, count, out| {
        for start in (0..inputs).step_by(TOGETHER) {
            let together = start..(start + TOGETHER).min(inputs);
            for column in 0..count {
                let weight = &weight[(first + column) * inputs * places..][..inputs * places];
                for (input, weight) in together.clone().zip(weight[start * places..].chunks_exact(places)) {
                    for (place, weight) in weight.iter().enumerate() {
                        out[(place * inputs + input) * COLUMNS + column] = *weight;
                    }
                }
            }
        }
    })
}

/// The convolution of `source` with `weight`, `(batch, height', width', outputs)`, and the spread of its channels if it is
/// to be measured.
pub(super) fn forward(conv: Conv, source: Source, weight: &[f32], epilogue: Epilogue) -> (Buffer, Spread) {
    if winograd::suits(conv) {
        return winograd::forward(conv, source, weight, epilogue);
    }
    let panels = forward_panels(conv, weight);
    let (lanes, line_len) = (conv.lanes(), conv.out_width() * conv.outputs);
    let direct = source.direct(conv);
    let mut y = Buffer::any(conv.output_len());
    let parts = split(&mut y, lanes.iter().map(|lane| lane.len() * line_len));
    let work = |scratch: &mut Vec<f32>, (lane, y): (std::ops::Range<usize>, &mut [f32])| {
        let mut spread = Spread::zeros(conv.outputs);
        let mut at = lane.start * line_len;
        let mut rest = y;
        for pieces in conv.blocks(lane) {
            let pixels = pieces.iter().map(|piece| piece.lines.len()).sum::<usize>() * conv.out_width();
            let (out, behind) = std::mem::take(&mut rest).split_at_mut(pixels * conv.outputs);
            rest = behind;
            if !direct {
                source.fill(conv, &pieces, scratch);
            }
            let starts = seen_starts(conv, &pieces, direct);
            let targets: Vec<usize> = (0..pixels).map(|pixel| pixel * conv.outputs).collect();
            dispatch(GatherProduct {
                rows: Rows {
                    values: if direct { source.values } else { scratch },
                    starts: &starts,
                    taps: conv.kernel,
                    depth: conv.kernel * conv.inputs,
                },
                panels: panels.view(),
                out,
                targets: &targets,
                destination: Destination::Overwrite,
            });
            finish(epilogue, at, out, &mut spread);
            at += pixels * conv.outputs;
        }
        spread
    };
    let spreads: Vec<Spread> = lanes.into_par_iter().zip(parts).map_init(Vec::new, work).collect();
    (y, Spread::of(conv.outputs, &spreads))
}

/// The gradient of a convolution's result.
#[derive(Clone, Copy)]
pub(super) struct Incoming<'a> {
    /// Gradient behind the normalisation.
    pub gradient: &'a [f32],
    /// The convolution's result and the way back through its normalisation, if there is more to it than a factor of each
    /// channel, which [`Weighting`] has.
    pub normalised: Option<(&'a [f32], &'a Backward)>,
}

impl Incoming<'_> {
    /// Whether products can read the gradient where it is.
    fn direct(&self, conv: Conv) -> bool {
        self.normalised.is_none() && conv.kernel == 1
    }

    /// Writes what sees the pieces of a block into the scratch buffer.
    fn fill(&self, conv: Conv, pieces: &[Piece], scratch: &mut Vec<f32>) {
        let windows: Vec<_> = pieces.iter().map(|piece| (piece.image, conv.seeing(piece))).collect();
        self.fill_windows(conv, &windows, scratch);
    }

    /// Writes windows of images into the scratch buffer.
    pub fn fill_windows(&self, conv: Conv, windows: &[(usize, Window)], scratch: &mut Vec<f32>) {
        reserve(scratch, windows.iter().map(|(_, window)| window.len(conv.outputs)).sum());
        let (line_len, mut at) = (conv.out_width() * conv.outputs, 0);
        for (image, window) in windows {
            let image = image * conv.out_height() * line_len;
            window.fill([conv.out_height(), conv.out_width(), conv.outputs], &mut scratch[at..], |line, out| {
                let range = image + line * line_len..image + (line + 1) * line_len;
                let gradient = &self.gradient[range.clone()];
                match self.normalised {
                    Some((x, by)) => dispatch(Normalised { gradient, x: &x[range], by, out }),
                    None => out.copy_from_slice(gradient),
                }
            });
            at += window.len(conv.outputs);
        }
    }
}

/// What becomes of the gradient of the input.
pub(super) enum InputGradient<'a> {
    /// Nobody wants it.
    Unwanted,
    /// It is written, or added, to these values.
    Wanted {
        dx: &'a mut [f32],
        destination: Destination,
        /// If the source comes from a ReLU, the normalisations in front of it, through which the gradient goes on; else none.
        behind: &'a [Option<Centre<'a>>],
    },
}

impl<'a> InputGradient<'a> {
    pub fn wanted_if(
        wanted: bool,
        dx: &'a mut [f32],
        destination: Destination,
        behind: &'a [Option<Centre<'a>>],
    ) -> Self {
        if wanted { Self::Wanted { dx, destination, behind } } else { Self::Unwanted }
    }

    /// Where it goes, whether what is there stays, and what is behind it.
    pub fn parts(self) -> (Option<&'a mut [f32]>, Destination, &'a [Option<Centre<'a>>]) {
        match self {
            Self::Unwanted => (None, Destination::Overwrite, &[]),
            Self::Wanted { dx, destination, behind } => (Some(dx), destination, behind),
        }
    }
}

/// The weights for one class of input pixels: those that leave the same rests when their places are divided by the stride.
struct Class {
    rests: [usize; 2],
    /// First pixel of the result that sees the pixel, relative to its place divided by the stride.
    offsets: [isize; 2],
    /// Lines and columns of the kernel that have met the pixel.
    taps: [usize; 2],
    panels: Panels,
}

fn classes(conv: Conv, weighting: Weighting) -> Vec<Class> {
    let (kernel, inputs, outputs) = (conv.kernel, conv.inputs, conv.outputs);
    let mut classes = Vec::new();
    for row in 0..conv.stride {
        for column in 0..conv.stride {
            let (lines, columns) = (conv.meetings(row), conv.meetings(column));
            let taps = [lines.kernel.len(), columns.kernel.len()];
            let places: Vec<usize> =
                lines.kernel.iter().flat_map(|ky| columns.kernel.iter().map(move |kx| ky * kernel + kx)).collect();
            let panels = Panels::new(places.len() * outputs, inputs, |first, count, out| {
                for output in 0..outputs {
                    let weight = &weighting.weight[(output * inputs + first) * kernel * kernel..];
                    let factor = weighting.factor(output);
                    for (tap, place) in places.iter().enumerate() {
                        let out = &mut out[(tap * outputs + output) * COLUMNS..][..count];
                        let weights = weight[*place..].iter().step_by(kernel * kernel);
                        out.iter_mut().zip(weights).for_each(|(out, weight)| *out = weight * factor);
                    }
                }
            });
            classes.push(Class { rests: [row, column], offsets: [lines.offset, columns.offset], taps, panels });
        }
    }
    classes
}

impl Class {
    /// For the pixels of this class in a block: where the runs of gradients begin, and where in the block's input gradient
    /// the pixel is.
    fn starts_and_targets(&self, conv: Conv, pieces: &[Piece]) -> (Vec<usize>, Vec<usize>) {
        let (mut starts, mut targets) = (Vec::new(), Vec::new());
        let (mut base, mut target_base, stride) = (0, 0, conv.stride);
        for piece in pieces {
            let (window, lines) = (conv.seeing(piece), conv.input_lines(piece));
            let first_line = lines.start;
            for y in lines.clone().filter(|y| y % stride == self.rests[0]) {
                let line = (y / stride) as isize + self.offsets[0] - window.first;
                for x in (self.rests[1]..conv.width).step_by(stride) {
                    let pixel = (x / stride) as isize + self.offsets[1] + window.left as isize;
                    for tap in 0..self.taps[0] {
                        starts.push(base + ((line as usize + tap) * window.pixels + pixel as usize) * conv.outputs);
                    }
                    targets.push(target_base + ((y - first_line) * conv.width + x) * conv.inputs);
                }
            }
            base += window.len(conv.outputs);
            target_base += lines.len() * conv.width * conv.inputs;
        }
        (starts, targets)
    }
}

/// For each pixel of the result in a block: where its gradient begins in what sees the block.
fn own_starts(conv: Conv, pieces: &[Piece]) -> Vec<usize> {
    let (mut starts, mut base) = (Vec::new(), 0);
    for piece in pieces {
        let window = conv.seeing(piece);
        for y in piece.lines.clone() {
            let line = (y as isize - window.first) as usize;
            starts
                .extend((0..conv.out_width()).map(|x| base + (line * window.pixels + window.left + x) * conv.outputs));
        }
        base += window.len(conv.outputs);
    }
    starts
}

/// Scratch buffers of a thread.
#[derive(Default)]
struct Scratch {
    seen: Vec<f32>,
    seeing: Vec<f32>,
}

/// The weight of a convolution, and whether its gradient is wanted.
#[derive(Clone, Copy)]
pub(super) struct Weighting<'a> {
    pub weight: &'a [f32],
    /// What the gradient of each channel of the result is multiplied by on its way to the input: the gradient of the weight is
    /// without it.
    pub factors: Option<&'a [f32]>,
    pub wanted: bool,
}

impl Weighting<'_> {
    pub fn factor(&self, output: usize) -> f32 {
        self.factors.map_or(1.0, |factors| factors[output])
    }
}

/// The gradients of the weight, if wanted, and of the input; and the sums of each normalisation behind the input.
pub(super) fn backward(
    conv: Conv,
    source: Source,
    incoming: Incoming,
    weighting: Weighting,
    input: InputGradient,
) -> (Option<Vec<f32>>, Vec<Sums>) {
    if winograd::suits(conv) {
        return winograd::backward(conv, source, incoming, weighting, input);
    }
    let weight_wanted = weighting.wanted;
    let (lanes, line_len) = (conv.lanes(), conv.width * conv.inputs);
    let starts: Vec<usize> = lanes.iter().map(|lane| conv.input_line(lane.start) * line_len).collect();
    let ends = starts.iter().skip(1).copied().chain(std::iter::once(conv.input_len()));
    let lengths: Vec<usize> = ends.zip(&starts).map(|(end, start)| end - start).collect();
    let (dx, destination, behind) = input.parts();
    let classes = if dx.is_some() { classes(conv, weighting) } else { Vec::new() };
    let parts: Vec<Option<&mut [f32]>> = match dx {
        Some(dx) => split(dx, lengths.into_iter()).into_iter().map(Some).collect(),
        None => lanes.iter().map(|_| None).collect(),
    };
    let direct = source.direct(conv);
    let layout = OuterLayout { outputs: conv.outputs, columns: conv.kernel * conv.kernel * conv.inputs };
    let work = |scratch: &mut Scratch, ((lane, start), dx): ((std::ops::Range<usize>, usize), Option<&mut [f32]>)| {
        let mut partial = Buffer::any(if weight_wanted { layout.len() } else { 0 });
        let mut sums = Sums::zeros_for(behind, conv.inputs);
        let (mut at, mut rest) = (start, dx);
        let mut own_line = lane.start;
        for (block, pieces) in conv.blocks(lane).enumerate() {
            let seeing = if incoming.direct(conv) {
                &incoming.gradient[own_line * conv.out_width() * conv.outputs..]
            } else {
                incoming.fill(conv, &pieces, &mut scratch.seeing);
                &scratch.seeing[..]
            };
            own_line += pieces.iter().map(|piece| piece.lines.len()).sum::<usize>();
            if weight_wanted {
                if !direct {
                    source.fill(conv, &pieces, &mut scratch.seen);
                }
                dispatch(GatherOuter {
                    left: seeing,
                    left_starts: &own_starts(conv, &pieces),
                    right: Rows {
                        values: if direct { source.values } else { &scratch.seen },
                        starts: &seen_starts(conv, &pieces, direct),
                        taps: conv.kernel,
                        depth: conv.kernel * conv.inputs,
                    },
                    layout,
                    out: &mut partial,
                    destination: if block == 0 { Destination::Overwrite } else { Destination::Add },
                });
            }
            let Some(dx) = rest.take() else { continue };
            let len = pieces.iter().map(|piece| conv.input_lines(piece).len()).sum::<usize>() * line_len;
            let (out, others) = dx.split_at_mut(len);
            rest = Some(others);
            for class in &classes {
                let (starts, targets) = class.starts_and_targets(conv, &pieces);
                if class.taps[0] * class.taps[1] == 0 {
                    if destination == Destination::Overwrite {
                        targets.iter().for_each(|target| out[*target..*target + conv.inputs].fill(0.0));
                    }
                    continue;
                }
                dispatch(GatherProduct {
                    rows: Rows {
                        values: seeing,
                        starts: &starts,
                        taps: class.taps[0],
                        depth: class.taps[1] * conv.outputs,
                    },
                    panels: class.panels.view(),
                    out,
                    targets: &targets,
                    destination,
                });
            }
            source.back_through_relu(at, out, line_len, behind, &mut sums);
            at += len;
        }
        (partial, sums)
    };
    let lanes = lanes.into_par_iter().zip(starts).zip(parts);
    let (partials, lane_sums): (Vec<_>, Vec<_>) =
        lanes.map_init(Scratch::default, work).collect::<Vec<_>>().into_iter().unzip();
    let sums = Sums::total(&lane_sums, behind, conv.inputs);
    (weight_wanted.then(|| by_channel(conv, layout, &sum_in_order(partials))), sums)
}

/// The gradient of the weight, `(outputs, inputs, kernel, kernel)`.
fn by_channel(conv: Conv, layout: OuterLayout, gradient: &[f32]) -> Vec<f32> {
    let (places, inputs) = (conv.kernel * conv.kernel, conv.inputs);
    let mut out = vec![0.0; conv.weight_len()];
    for_each_chunk(&mut out, places * inputs, gradient.len(), |output, out| {
        for panel in 0..layout.columns.div_ceil(COLUMNS) {
            let (at, values) = (panel * COLUMNS, layout.panel_row(gradient, panel, output));
            if places == 1 {
                out[at..at + values.len()].copy_from_slice(values);
                continue;
            }
            let (mut place, mut input) = (at / inputs, at % inputs);
            for value in values {
                out[input * places + place] = *value;
                input += 1;
                if input == inputs {
                    (place, input) = (place + 1, 0);
                }
            }
        }
    });
    out
}

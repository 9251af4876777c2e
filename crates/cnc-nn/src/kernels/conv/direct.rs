//! The passes of a convolution of any kernel and stride. Slabs, which threads share, go through their blocks one after the
//! other; what a block needs of the image is normalised into a scratch buffer on the way.

use rayon::prelude::*;

use super::gather::{GatherOuter, GatherProduct, OuterLayout, Panels, Rows};
use super::geometry::{Conv, Piece, split};
use super::moments::Moments;
use super::norm::{Epilogue, finish};
use super::norm_gradient::Sums;
use super::operands::{Incoming, InputGradient, Source, Weighting};
use crate::kernels::buffers::Buffer;
use crate::kernels::gemm::Destination;
use crate::kernels::parallel::{for_each_chunk, sum_in_order};
use crate::kernels::simd::dispatch;

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
    Panels::new(places * inputs, conv.outputs, |width, outputs, out| {
        for start in (0..inputs).step_by(TOGETHER) {
            let together = start..(start + TOGETHER).min(inputs);
            for (column, output) in outputs.clone().enumerate() {
                let weight = &weight[output * inputs * places..][..inputs * places];
                for (input, weight) in together.clone().zip(weight[start * places..].chunks_exact(places)) {
                    for (place, weight) in weight.iter().enumerate() {
                        out[(place * inputs + input) * width + column] = *weight;
                    }
                }
            }
        }
    })
}

/// As [`passes::forward`](super::passes::forward).
pub(crate) fn forward(conv: Conv, source: Source, weight: &[f32], epilogue: Epilogue) -> (Buffer, Moments) {
    let panels = forward_panels(conv, weight);
    let (slabs, line_len) = (conv.slabs(), conv.out_width() * conv.outputs);
    let direct = source.direct(conv);
    let mut y = Buffer::any(conv.output_len());
    let parts = split(&mut y, slabs.iter().map(|slab| slab.len() * line_len));
    let work = |scratch: &mut Vec<f32>, (slab, y): (std::ops::Range<usize>, &mut [f32])| {
        let mut moments = Moments::zeros(conv.outputs);
        let mut at = slab.start * line_len;
        let mut rest = y;
        for pieces in conv.blocks(slab) {
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
            finish(epilogue, at, out, &mut moments);
            at += pixels * conv.outputs;
        }
        moments
    };
    let all_moments: Vec<Moments> = slabs.into_par_iter().zip(parts).map_init(Vec::new, work).collect();
    (y, Moments::of(conv.outputs, &all_moments))
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
            let panels = Panels::new(places.len() * outputs, inputs, |width, own, out| {
                for output in 0..outputs {
                    let weight = &weighting.weight[(output * inputs + own.start) * kernel * kernel..];
                    let factor = weighting.factor(output);
                    for (tap, place) in places.iter().enumerate() {
                        let out = &mut out[(tap * outputs + output) * width..][..own.len()];
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

/// As [`passes::backward`](super::passes::backward).
pub(crate) fn backward(
    conv: Conv,
    source: Source,
    incoming: Incoming,
    weighting: Weighting,
    input: InputGradient,
) -> (Option<Vec<f32>>, Vec<Sums>) {
    let weight_wanted = weighting.wanted;
    let (slabs, line_len) = (conv.slabs(), conv.width * conv.inputs);
    let starts: Vec<usize> = slabs.iter().map(|slab| conv.input_line(slab.start) * line_len).collect();
    let ends = starts.iter().skip(1).copied().chain(std::iter::once(conv.input_len()));
    let lengths: Vec<usize> = ends.zip(&starts).map(|(end, start)| end - start).collect();
    let (dx, destination, behind) = input.parts();
    let classes = if dx.is_some() { classes(conv, weighting) } else { Vec::new() };
    let parts: Vec<Option<&mut [f32]>> = match dx {
        Some(dx) => split(dx, lengths.into_iter()).into_iter().map(Some).collect(),
        None => slabs.iter().map(|_| None).collect(),
    };
    let direct = source.direct(conv);
    let layout = OuterLayout::new(conv.outputs, conv.kernel * conv.kernel * conv.inputs);
    let work = |scratch: &mut Scratch, ((slab, start), dx): ((std::ops::Range<usize>, usize), Option<&mut [f32]>)| {
        let mut partial = Buffer::any(if weight_wanted { layout.len() } else { 0 });
        let mut sums = Sums::zeros_for(behind, conv.inputs);
        let (mut at, mut rest) = (start, dx);
        let mut own_line = slab.start;
        for (block, pieces) in conv.blocks(slab).enumerate() {
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
    let slabs = slabs.into_par_iter().zip(starts).zip(parts);
    let (partials, slab_sums): (Vec<_>, Vec<_>) =
        slabs.map_init(Scratch::default, work).collect::<Vec<_>>().into_iter().unzip();
    let sums = Sums::total(&slab_sums, behind, conv.inputs);
    (weight_wanted.then(|| by_channel(conv, layout, &sum_in_order(partials))), sums)
}

/// The gradient of the weight, `(outputs, inputs, kernel, kernel)`.
fn by_channel(conv: Conv, layout: OuterLayout, gradient: &[f32]) -> Vec<f32> {
    let (places, inputs) = (conv.kernel * conv.kernel, conv.inputs);
    let mut out = vec![0.0; conv.weight_len()];
    for_each_chunk(&mut out, places * inputs, gradient.len(), |output, out| {
        for (at, values) in layout.row(gradient, output) {
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

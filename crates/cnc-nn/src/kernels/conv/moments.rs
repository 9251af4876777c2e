//! Mean and variance of channels, measured where a convolution writes them.

use crate::kernels::simd::{Kernel, Simd};

/// Count, mean and summed squared differences from it, channel by channel.
#[derive(Debug, Clone)]
pub(crate) struct Moments {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    pub fn zeros(channels: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; channels], squares: vec![0.0; channels] }
    }

    /// The moments of all values of which `parts` are the moments, merged in their order.
    pub fn of(channels: usize, parts: &[Self]) -> Self {
        let mut moments = Self::zeros(channels);
        parts.iter().for_each(|part| moments.merge(part));
        moments
    }

    /// Takes further values in (Chan et al. 1979, "Updating formulae and a pairwise algorithm for computing sample
    /// variances").
    fn merge(&mut self, other: &Self) {
        let count = self.count + other.count;
        if other.count == 0.0 {
            return;
        }
        let theirs = other.mean.iter().zip(&other.squares);
        for ((mean, squares), (their_mean, their_squares)) in self.mean.iter_mut().zip(&mut self.squares).zip(theirs) {
            let difference = their_mean - *mean;
            *mean += difference * other.count / count;
            *squares += their_squares + difference * difference * self.count * other.count / count;
        }
        self.count = count;
    }

    /// How many values of each channel there were.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Means in single precision.
    pub fn means(&self) -> Vec<f32> {
        self.mean.iter().map(|mean| *mean as f32).collect()
    }

    /// Mean squared difference from the mean.
    pub fn variances(&self) -> Vec<f64> {
        self.squares.iter().map(|squares| squares / self.count).collect()
    }
}

/// The moments of the pixels of a block, in two passes while it is in the cache.
pub(crate) struct Measure<'a> {
    pub x: &'a [f32],
    pub into: &'a mut Moments,
}

impl Kernel for Measure<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let channels = self.into.mean.len().max(1);
        let count = (self.x.len() / channels) as f64;
        let mut sums = vec![0.0f32; channels];
        for x in self.x.chunks_exact(channels) {
            sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
        }
        let mean: Vec<f32> = sums.iter().map(|sum| sum / count as f32).collect();
        let (mut rest, mut squares) = (vec![0.0f32; channels], vec![0.0f32; channels]);
        for x in self.x.chunks_exact(channels) {
            for (((rest, square), x), mean) in rest.iter_mut().zip(&mut squares).zip(x).zip(&mean) {
                let difference = x - mean;
                *rest += difference;
                *square += difference * difference;
            }
        }
        // The mean was rounded: what is left of it is put right here.
        let exact = |(mean, rest): (&f32, &f32)| f64::from(*mean) + f64::from(*rest) / count;
        let left = |(square, rest): (&f32, &f32)| f64::from(*square) - f64::from(*rest).powi(2) / count;
        self.into.merge(&Moments {
            count,
            mean: mean.iter().zip(&rest).map(exact).collect(),
            squares: squares.iter().zip(&rest).map(left).collect(),
        });
    }
}

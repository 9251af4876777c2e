//! Diverse prototypical ensembles.
//!
//! To et al., "Diverse Prototypical Ensembles Improve Robustness to Subpopulation Shift", ICML 2025 (arXiv 2505.23027):
//! the encoder stays as it is, and the linear head is replaced by members that classify by the distance to one prototype
//! a class. With x̂ the representation, centred and scaled to length 1, and p̂ the prototype scaled to length 1,
//!
//! ```text
//! D_k  = |s| · ‖x̂ - p̂_k‖                                       s: a scale that is learnt too
//! loss = cross_entropy(-T·D, y) + λ · |mean_k Σ_j ⟨p_k, p_k^(j)⟩| / (n·(d-1)) + μ · mean_k ‖p_k‖²
//! ```
//!
//! over the prototypes p^(j) of the members before, with n members so far (this one too), d dimensions, and T = 30 as in the isotropic
//! loss that the authors use (Macêdo and Ludermir 2021, arXiv 2105.14399). Each member is fitted to a fresh subset with
//! as many samples of every class as of the smallest, or of every group where groups are known. The ensemble predicts by
//! the mean over its members of softmax(-D), without T.
//!
//! That is the authors' code (main.py:235-252): the sum is signed, so that what is alike in one class may be unlike in another;
//! the paper's formula takes absolute values. Each member's best epoch is kept, the last of equals, by what the caller says that
//! it is worth (the authors: worst-group accuracy on validation, main.py:356).

use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::reweighting::{Balanced, subsample};
use crate::draws::{shuffled_batches, standard_normals};
use crate::error::{Error, Result};
use crate::fits::features::{Features, Labelled, largest_of_rows};
use crate::fits::softmax::softmax;
use crate::fits::vectors::{dot, square_distance};

/// T, the entropic scale in training.
const ENTROPIC_SCALE: f64 = 30.0;
/// Standard deviation of a prototype's components at the start.
const START_DEVIATION: f64 = 0.01;
/// Of gradient descent.
const MOMENTUM: f64 = 0.9;

/// The settings of a fit. Values in brackets are the authors' defaults.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DpeOptions {
    /// Members of the ensemble (15).
    pub members: usize,
    /// Passes over its subset by each member (20).
    pub epochs: usize,
    /// Rows in a batch (256).
    pub batch: usize,
    /// Learning rate of gradient descent with a momentum of 0.9 (0.001).
    pub learning_rate: f64,
    /// λ, the penalty on similarity to earlier members (100,000).
    pub similarity: f64,
    /// μ, the penalty on the prototypes' lengths (10).
    pub length: f64,
}

/// One member: a prototype for each class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prototypes {
    /// `(classes, dim)` in row-major order, of any length.
    pub prototypes: Vec<f32>,
    /// s, by which distances are multiplied.
    pub scale: f32,
}

/// The members, which vote by their likelihoods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrototypeEnsemble {
    /// Number of classes.
    pub classes: usize,
    /// At least one.
    pub members: Vec<Prototypes>,
}

impl PrototypeEnsemble {
    /// Likelihoods `(rows, classes)` in row-major order: the mean of the members' ones.
    ///
    /// # Errors
    /// [`Error::Shape`] when a member has not `(classes, dim)` prototypes for these features, [`Error::EmptyPart`] when
    /// there are no members.
    pub fn likelihoods(&self, features: &Features<'_>) -> Result<Vec<f64>> {
        if self.members.is_empty() || self.classes == 0 {
            return Err(Error::EmptyPart { part: "member of the ensemble" });
        }
        let size = self.classes * features.dim();
        let mut members = Vec::with_capacity(self.members.len());
        for member in &self.members {
            if member.prototypes.len() != size {
                let expected = format!("({}, {})", self.classes, features.dim());
                return Err(Error::Shape { what: "prototypes", expected, found: vec![member.prototypes.len()] });
            }
            members.push((unit_rows(&member.prototypes, features.dim()), f64::from(member.scale).abs()));
        }
        let mut all = Vec::with_capacity(features.rows() * self.classes);
        for x in features.iter().map(direction) {
            let mut mean = vec![0.0; self.classes];
            for (prototypes, scale) in &members {
                let mut scores: Vec<f64> = prototypes
                    .chunks_exact(features.dim())
                    .map(|prototype| -scale * square_distance(&x, prototype).sqrt())
                    .collect();
                softmax(&mut scores, 0);
                mean.iter_mut().zip(scores).for_each(|(mean, score)| *mean += score / members.len() as f64);
            }
            all.extend(mean);
        }
        Ok(all)
    }

    /// The likeliest class of each row, the first of equals.
    ///
    /// # Errors
    /// As for [`PrototypeEnsemble::likelihoods`].
    pub fn predict(&self, features: &Features<'_>) -> Result<Vec<u32>> {
        Ok(largest_of_rows(&self.likelihoods(features)?, self.classes))
    }
}

impl DpeOptions {
    /// Fits an ensemble. The keys to balance by are the labels, or groups. `worth` says what a member is worth after an epoch;
    /// one that always says the same keeps the last.
    ///
    /// # Errors
    /// [`Error::ZeroSize`] when there are no members, epochs or rows in a batch; [`Error::Setting`] when another option is
    /// negative or not finite; [`Error::Lengths`] when there is not one label and key a row; [`Error::ClassOutOfRange`]
    /// naming the row; [`Error::ClassWithoutSamples`].
    pub fn fit<R: RngCore + ?Sized>(
        &self,
        samples: &Balanced<'_>,
        rng: &mut R,
        mut worth: impl FnMut(&Prototypes) -> Result<f64>,
    ) -> Result<PrototypeEnsemble> {
        let &Self { members, epochs, batch, learning_rate, similarity, length } = self;
        for (option, size) in [("members", members), ("epochs", epochs), ("batch", batch)] {
            if size == 0 {
                return Err(Error::ZeroSize { option });
            }
        }
        for (option, given) in [("learning_rate", learning_rate), ("similarity", similarity), ("length", length)] {
            if !given.is_finite() || given < 0.0 {
                return Err(Error::Setting { option, expected: "a finite number of at least 0", given });
            }
        }
        samples.check("keys")?;
        let &Balanced { samples: Labelled { features, labels, classes }, keys } = samples;
        let dim = features.dim();
        let mut earlier = Vec::<Vec<f64>>::new();
        let mut ensemble = PrototypeEnsemble { classes, members: Vec::with_capacity(members) };
        for _ in 0..members {
            let chosen: Vec<(Vec<f64>, u32)> = subsample(keys, rng)?
                .into_iter()
                .filter_map(|row| Some((direction(features.get(row as usize)?), labels.get(row as usize).copied()?)))
                .collect();
            let mut member = Member {
                prototypes: standard_normals(classes * dim, rng)
                    .into_iter()
                    .map(|draw| START_DEVIATION * draw)
                    .collect(),
                scale: 1.0,
            };
            let mut velocity = vec![0.0; classes * dim + 1];
            let mut best: Option<(f64, Member)> = None;
            let rows = u32::try_from(chosen.len()).map_err(|_| Error::TooManyRows { rows: chosen.len() })?;
            for _ in 0..epochs {
                for rows in shuffled_batches(rows, batch, rng)? {
                    let samples: Vec<&(Vec<f64>, u32)> =
                        rows.into_iter().filter_map(|row| chosen.get(row as usize)).collect();
                    member.step(self, (&samples, dim), &earlier, &mut velocity);
                }
                let value = worth(&member.prototypes())?;
                if best.as_ref().is_none_or(|(best, _)| value >= *best) {
                    best = Some((value, member.clone()));
                }
            }
            let (_, member) = best.unwrap_or((0.0, member));
            ensemble.members.push(member.prototypes());
            earlier.push(member.prototypes);
        }
        Ok(ensemble)
    }
}

/// A member while it learns.
#[derive(Clone)]
struct Member {
    prototypes: Vec<f64>,
    scale: f64,
}

impl Member {
    /// As it is now.
    fn prototypes(&self) -> Prototypes {
        let prototypes = self.prototypes.iter().map(|value| *value as f32).collect();
        Prototypes { prototypes, scale: self.scale as f32 }
    }

    /// One step of gradient descent with momentum.
    fn step(
        &mut self,
        options: &DpeOptions,
        (samples, dim): (&[&(Vec<f64>, u32)], usize),
        earlier: &[Vec<f64>],
        velocity: &mut [f64],
    ) {
        let (_, gradient) = self.loss_and_gradient(samples, dim, earlier, (options.similarity, options.length));
        let parameters = self.prototypes.iter_mut().chain([&mut self.scale]);
        for ((parameter, velocity), slope) in parameters.zip(velocity).zip(gradient) {
            *velocity = MOMENTUM * *velocity + slope;
            *parameter -= options.learning_rate * *velocity;
        }
    }

    /// The loss over samples (a direction and a class each), and its gradient by the prototypes and then the scale.
    fn loss_and_gradient(
        &self,
        samples: &[&(Vec<f64>, u32)],
        dim: usize,
        earlier: &[Vec<f64>],
        (similarity, length): (f64, f64),
    ) -> (f64, Vec<f64>) {
        let classes = self.prototypes.len() / dim;
        let units = unit_rows(&self.prototypes, dim);
        let share = 1.0 / samples.len() as f64;
        let mut loss = 0.0;
        let mut of_scale = 0.0;
        let mut of_units = vec![0.0; units.len()];
        for (x, label) in samples {
            let distances: Vec<f64> = units.chunks_exact(dim).map(|unit| square_distance(x, unit).sqrt()).collect();
            let factor = -ENTROPIC_SCALE * self.scale.abs();
            let mut scores: Vec<f64> = distances.iter().map(|distance| factor * distance).collect();
            loss += share * softmax(&mut scores, *label as usize);
            let of_classes =
                of_units.chunks_exact_mut(dim).zip(units.chunks_exact(dim)).zip(scores.iter().zip(distances));
            for (class, ((of_unit, unit), (score, distance))) in of_classes.enumerate() {
                let of_score = share * (score - f64::from(u8::from(class == *label as usize)));
                of_scale -= of_score * ENTROPIC_SCALE * self.scale.signum() * distance;
                if distance > 0.0 {
                    let along = of_score * factor / distance;
                    for ((of_unit, unit), x) in of_unit.iter_mut().zip(unit).zip(x) {
                        *of_unit += along * (unit - x);
                    }
                }
            }
        }
        let mut gradient = Vec::with_capacity(units.len() + 1);
        let rows = self.prototypes.chunks_exact(dim).zip(units.chunks_exact(dim)).zip(of_units.chunks_exact(dim));
        for ((prototype, unit), of_unit) in rows {
            // Only what turns a prototype changes its direction.
            let length = norm(prototype);
            let radial = dot(unit, of_unit);
            gradient.extend(unit.iter().zip(of_unit).map(|(unit, slope)| (slope - radial * unit) / length));
        }
        if similarity > 0.0 && !earlier.is_empty() {
            let factor =
                similarity / (classes as f64 * (earlier.len() + 1) as f64 * dim.saturating_sub(1).max(1) as f64);
            let product: f64 = earlier.iter().map(|other| dot(&self.prototypes, other)).sum();
            loss += factor * product.abs();
            for other in earlier {
                for (slope, other) in gradient.iter_mut().zip(other) {
                    *slope += factor * product.signum() * other;
                }
            }
        }
        loss += length * dot(&self.prototypes, &self.prototypes) / classes as f64;
        for (slope, own) in gradient.iter_mut().zip(&self.prototypes) {
            *slope += 2.0 * length * own / classes as f64;
        }
        gradient.push(of_scale);
        (loss, gradient)
    }
}

/// A representation less its mean, at length 1; one without spread is 0.
fn direction(x: &[f32]) -> Vec<f64> {
    let mean = x.iter().copied().map(f64::from).sum::<f64>() / x.len() as f64;
    let centred: Vec<f64> = x.iter().map(|x| f64::from(*x) - mean).collect();
    let length = norm(&centred);
    centred.into_iter().map(|x| x / length).collect()
}

/// Each row at length 1.
fn unit_rows<T: Copy + Into<f64>>(values: &[T], dim: usize) -> Vec<f64> {
    let row = |values: &[T]| {
        let values: Vec<f64> = values.iter().copied().map(Into::into).collect();
        let length = norm(&values);
        values.into_iter().map(move |value| value / length)
    };
    values.chunks_exact(dim).flat_map(row).collect()
}

/// The length of a vector, and not quite 0 where it is 0 (as PyTorch's `normalize` has it).
fn norm(values: &[f64]) -> f64 {
    dot(values, values).sqrt().max(1e-12)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Fixtures, apart};

    #[test]
    fn the_loss_of_a_member_and_its_gradient_equal_pytorch() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let fixtures = Fixtures::load("dpe")?;
        let features = fixtures.floats("dpe.features")?;
        let features = Features::new(&features, 6)?;
        let labels = fixtures.indices("dpe.labels")?;
        let samples: Vec<(Vec<f64>, u32)> = features.iter().map(direction).zip(labels).collect();
        let samples: Vec<&(Vec<f64>, u32)> = samples.iter().collect();
        let earlier: Vec<Vec<f64>> = fixtures.numbers("dpe.earlier")?.chunks_exact(18).map(<[f64]>::to_vec).collect();
        assert_eq!(earlier.len(), 2);
        for scale in [1.5, -0.5] {
            let member = Member { prototypes: fixtures.numbers("dpe.prototypes")?, scale };
            let (loss, gradient) = member.loss_and_gradient(&samples, 6, &earlier, (10.0, 0.5));
            let off = apart(&[loss], &fixtures.numbers(&format!("dpe.{scale}.loss"))?);
            assert!(off < 1e-12, "scale {scale}: loss off by {off:e}");
            let (of_prototypes, of_scale) = gradient.split_at(18);
            let off = apart(of_prototypes, &fixtures.numbers(&format!("dpe.{scale}.grad.prototypes"))?);
            assert!(off < 1e-10, "scale {scale}: gradient of the prototypes off by {off:e}");
            let off = apart(of_scale, &fixtures.numbers(&format!("dpe.{scale}.grad.scale"))?);
            assert!(off < 1e-10, "scale {scale}: gradient of the scale off by {off:e}");
        }
        Ok(())
    }

    #[test]
    fn five_steps_of_a_member_equal_pytorchs_sgd() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let (fixtures, steps) = (Fixtures::load("dpe")?, Fixtures::load("steps")?);
        let features = fixtures.floats("dpe.features")?;
        let labels = fixtures.indices("dpe.labels")?;
        let samples: Vec<(Vec<f64>, u32)> = Features::new(&features, 6)?.iter().map(direction).zip(labels).collect();
        let samples: Vec<&(Vec<f64>, u32)> = samples.iter().collect();
        let earlier: Vec<Vec<f64>> = fixtures.numbers("dpe.earlier")?.chunks_exact(18).map(<[f64]>::to_vec).collect();
        let options =
            DpeOptions { members: 3, epochs: 5, batch: 12, learning_rate: 1e-3, similarity: 1e3, length: 10.0 };
        let mut member = Member { prototypes: fixtures.numbers("dpe.prototypes")?, scale: 1.0 };
        let mut velocity = [0.0; 19];
        for _ in 0..5 {
            member.step(&options, (&samples, 6), &earlier, &mut velocity);
        }
        let off = apart(&member.prototypes, &steps.numbers("steps.dpe.prototypes")?);
        assert!(off < 1e-9, "prototypes off by {off:e}");
        assert!(apart(&[member.scale], &steps.numbers("steps.dpe.scale")?) < 1e-9);
        Ok(())
    }
}

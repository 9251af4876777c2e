//! Which samples the pictures show, by rules without choice: first in row order, or drawn from a fixed seed.

use cnc_core::ContrastiveBatch as Drawn;
use cnc_core::draws::shuffled;
use cnc_data::{DataError, Dataset, Split};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{embedding, picture};
use crate::record::story::{
    Content, ContrastiveBatch, Counterfactual, Representations, Sample, StageAnswer, Story, WorstGroup,
};
use crate::training::predictions::Predictions;

/// Samples of each part of the contrastive batch that are shown at most.
const PER_PART: usize = 8;

/// Errors of the worst group that are shown at most.
const ERRORS: usize = 24;

/// Samples that are shown in every attribute value at most, each of another class.
const COUNTERFACTUALS: usize = 3;

/// Characters of a text that are shown at most.
const CHARACTERS: usize = 280;

/// Test samples whose representations are shown at most.
const POINTS: usize = 600;

/// A stage's answers on the test split.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StageView<'a> {
    /// Name for people.
    pub title: &'a str,
    /// Predictions, confidences and representations of all rows.
    pub test: &'a Predictions,
    /// Name of its worst group, where a group has samples.
    pub worst_group: Option<&'a str>,
}

/// The first stage's answers on the training split, and a batch that they lead to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrainingView<'a> {
    /// Name of the stage for people.
    pub title: &'a str,
    /// Predictions and confidences of all rows.
    pub train: &'a Predictions,
    /// Rows of the training split; a row that was drawn twice is shown once.
    pub batch: &'a Drawn,
}

/// A story that cannot be collected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoryError {
    /// A stage did not answer for every row.
    #[error("stage `{stage}`: {what} of the {split} split has {found} entries, expected {expected}, one a row")]
    Length {
        /// Name of the stage for people.
        stage: String,
        /// Which list.
        what: &'static str,
        /// Which split.
        split: &'static str,
        /// Rows of the split.
        expected: usize,
        /// Entries of the list.
        found: usize,
    },
    /// The representations of a stage have no plane.
    #[error("the representations cannot be shown in a plane")]
    Plane(#[from] cnc_core::Error),
    /// A row that the split does not have, or whose image cannot be shown.
    #[error("row {row} of the {split} split cannot be shown")]
    Row {
        /// The row.
        row: u32,
        /// Which split.
        split: &'static str,
    },
    /// The dataset could not give a picture.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// The story of a run: what its stages say about samples of the dataset.
///
/// Stages are in the order in which they ran; the last one is what the run reports. Nothing is drawn by chance but the
/// rows whose representations are shown, and those from a fixed seed: the same input gives the same story.
///
/// # Errors
/// When a stage's answers do not cover a split, or a row has no picture.
pub(crate) fn collect(
    dataset: &Dataset,
    stages: &[StageView<'_>],
    training: Option<TrainingView<'_>>,
) -> Result<Story, StoryError> {
    let rows = dataset.test.len();
    for stage in stages {
        let error = |what, found| length_error(stage.title, what, "test", rows, found);
        error("predictions", stage.test.classes.len())?;
        error("confidences", stage.test.confidences.len())?;
        length_error(stage.title, "representations", "test", rows * stage.test.dim, stage.test.representations.len())?;
    }
    let collector = Collector { dataset, stages };
    Ok(Story {
        classes: dataset.classes.clone(),
        attributes: dataset.attributes.clone(),
        contrastive_batch: training.map(|training| collector.contrastive_batch(&training)).transpose()?,
        worst_group: collector.worst_group()?,
        counterfactuals: collector.counterfactuals()?,
        representations: collector.representations()?,
    })
}

fn length_error(
    stage: &str,
    what: &'static str,
    split: &'static str,
    expected: usize,
    found: usize,
) -> Result<(), StoryError> {
    if expected == found {
        return Ok(());
    }
    Err(StoryError::Length { stage: stage.to_owned(), what, split, expected, found })
}

struct Collector<'a> {
    dataset: &'a Dataset,
    stages: &'a [StageView<'a>],
}

impl Collector<'_> {
    fn contrastive_batch(&self, training: &TrainingView<'_>) -> Result<ContrastiveBatch, StoryError> {
        let split = &self.dataset.train;
        length_error(training.title, "predictions", "training", split.len(), training.train.classes.len())?;
        let part = |rows: &[u32]| {
            let mut shown: Vec<u32> = Vec::new();
            for row in rows {
                if !shown.contains(row) {
                    shown.push(*row);
                }
            }
            let said = [(training.title, training.train)];
            shown
                .into_iter()
                .take(PER_PART)
                .map(|row| self.sample(split, "training", row, &said))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(ContrastiveBatch {
            title: training.title.to_owned(),
            slice: self.class(training.batch.slice),
            anchors: part(&training.batch.anchors)?,
            positives: part(&training.batch.positives)?,
            negatives: part(&training.batch.negatives)?,
        })
    }

    /// The first errors of the reported model in its worst group.
    fn worst_group(&self) -> Result<Option<WorstGroup>, StoryError> {
        let split = &self.dataset.test;
        let Some(reported) = self.stages.last() else { return Ok(None) };
        let Some(group) = split.groups().iter().find(|group| Some(group.name.as_str()) == reported.worst_group) else {
            return Ok(None);
        };
        let wrong: Vec<u32> = group
            .rows
            .iter()
            .copied()
            .filter(|row| reported.test.classes.get(*row as usize) != Some(&group.class))
            .collect();
        Ok(Some(WorstGroup {
            title: reported.title.to_owned(),
            group: group.name.clone(),
            count: group.rows.len() as u64,
            wrong: wrong.len() as u64,
            samples: wrong.iter().take(ERRORS).map(|row| self.test_sample(*row)).collect::<Result<_, _>>()?,
        }))
    }

    /// Of each class the first sample on which the first stage does not say the same in every version.
    fn counterfactuals(&self) -> Result<Vec<Counterfactual>, StoryError> {
        let split = &self.dataset.test;
        let (Some(versions), Some(first)) =
            (split.counterfactuals().filter(|versions| *versions > 1), self.stages.first())
        else {
            return Ok(Vec::new());
        };
        let rows: Vec<u32> = (0..split.len() as u32).collect();
        let mut classes: Vec<u32> = Vec::new();
        let mut shown = Vec::new();
        for (rows, said) in rows.chunks(versions).zip(first.test.classes.chunks(versions)) {
            let class = rows.first().and_then(|row| split.labels().get(*row as usize)).copied();
            let Some(class) = class.filter(|class| !classes.contains(class)) else { continue };
            if said.windows(2).any(|pair| pair[0] != pair[1]) {
                classes.push(class);
                let versions = rows.iter().map(|row| self.test_sample(*row)).collect::<Result<_, _>>()?;
                shown.push((class, Counterfactual { class: self.class(class), versions }));
                if shown.len() == COUNTERFACTUALS {
                    break;
                }
            }
        }
        shown.sort_by_key(|(class, _)| *class);
        Ok(shown.into_iter().map(|(_, counterfactual)| counterfactual).collect())
    }

    /// The same test samples for every stage, scaled to length 1, each stage in the plane of its own principal components.
    fn representations(&self) -> Result<Vec<Representations>, StoryError> {
        let split = &self.dataset.test;
        let mut rows = shuffled(split.len() as u32, &mut ChaCha8Rng::seed_from_u64(0));
        rows.truncate(POINTS);
        rows.sort_unstable();
        let of_rows = |values: &[u32]| rows.iter().filter_map(|row| values.get(*row as usize).copied()).collect();
        self.stages
            .iter()
            .filter(|stage| stage.test.dim > 0)
            .map(|stage| {
                let values: Vec<f32> = rows
                    .iter()
                    .filter_map(|row| stage.test.representations.chunks_exact(stage.test.dim).nth(*row as usize))
                    .flat_map(of_length_one)
                    .collect();
                let plane = embedding::plane(&values, stage.test.dim)?;
                Ok(Representations {
                    title: stage.title.to_owned(),
                    count: split.len() as u64,
                    explained: plane.explained.map(share),
                    x: rounded(&plane.x),
                    y: rounded(&plane.y),
                    classes: of_rows(split.labels()),
                    attributes: of_rows(split.attributes()),
                })
            })
            .collect()
    }

    fn test_sample(&self, row: u32) -> Result<Sample, StoryError> {
        let said: Vec<(&str, &Predictions)> = self.stages.iter().map(|stage| (stage.title, stage.test)).collect();
        self.sample(&self.dataset.test, "test", row, &said)
    }

    fn sample(
        &self,
        split: &Split,
        name: &'static str,
        row: u32,
        said: &[(&str, &Predictions)],
    ) -> Result<Sample, StoryError> {
        let index = row as usize;
        let missing = || StoryError::Row { row, split: name };
        let class = *split.labels().get(index).ok_or_else(missing)?;
        let attribute =
            split.attributes().get(index).and_then(|attribute| self.dataset.attributes.get(*attribute as usize));
        let predictions = said.iter().map(|(title, predictions)| {
            Some(StageAnswer {
                title: (*title).to_owned(),
                class: self.class(*predictions.classes.get(index)?),
                confidence: predictions.confidences.get(index).map(|confidence| share(f64::from(*confidence))),
            })
        });
        Ok(Sample {
            row,
            content: match split.text(row) {
                Some(text) => Content::Text(start_of(text)),
                None => Content::Picture(picture::encode(&split.picture(row)?).ok_or_else(missing)?),
            },
            class: self.class(class),
            attribute: attribute.cloned().unwrap_or_default(),
            predictions: predictions.collect::<Option<_>>().ok_or_else(missing)?,
        })
    }

    fn class(&self, class: u32) -> String {
        self.dataset.classes.get(class as usize).cloned().unwrap_or_default()
    }
}

/// A text as far as it is shown, on one line.
fn start_of(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{} …", line.get(..end).unwrap_or_default().trim_end()),
        None => line,
    }
}

/// A representation scaled to length 1: similarity is a matter of direction, in the contrastive loss as well.
fn of_length_one(row: &[f32]) -> impl Iterator<Item = f32> {
    let length = row.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    row.iter().map(move |value| value / length)
}

/// A share with four decimals.
fn share(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// Coordinates with as many digits as a picture can show, relative to the largest.
fn rounded(values: &[f64]) -> Vec<f32> {
    let most = values.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    let unit = if most > 0.0 { 10f64.powf(most.log10().floor() - 3.0) } else { 1.0 };
    values.iter().map(|value| ((value / unit).round() * unit) as f32).collect()
}

#[cfg(test)]
mod tests {
    use cnc_data::{Manifest, OpenOptions};

    use super::*;

    /// The first rows of `digits`: every test image stands in all five colours.
    fn digits() -> Dataset {
        Dataset::open(&Manifest::open("digits").unwrap(), &OpenOptions { limit: Some(40), ..OpenOptions::default() })
            .unwrap()
    }

    /// A model that says the colour, sure of itself, with a representation that is the colour and the class.
    fn reads_colour(split: &Split) -> Predictions {
        let pairs = split.attributes().iter().zip(split.labels());
        Predictions {
            classes: split.attributes().to_vec(),
            confidences: vec![0.75; split.len()],
            representations: pairs.flat_map(|(colour, class)| [*colour as f32, *class as f32, 0.0]).collect(),
            dim: 3,
            batch: 1,
        }
    }

    fn reads_shape(split: &Split) -> Predictions {
        Predictions { classes: split.labels().to_vec(), ..reads_colour(split) }
    }

    #[test]
    fn a_run_is_told_from_its_samples() {
        let data = digits();
        let (colour, shape) = (reads_colour(&data.test), reads_shape(&data.test));
        let group =
            data.test.groups().iter().find(|group| {
                group.rows.first().is_some_and(|row| data.test.attributes()[*row as usize] != group.class)
            });
        let group = group.unwrap();
        let stages = [
            StageView { title: "CNC", test: &shape, worst_group: None },
            StageView { title: "ERM", test: &colour, worst_group: Some(&group.name) },
        ];
        let train = reads_colour(&data.train);
        let batch =
            Drawn { slice: 1, anchors: vec![3, 3, 5], positives: vec![1], negatives: vec![2], easy_negatives: vec![] };
        let training = TrainingView { title: "ERM", train: &train, batch: &batch };
        let story = collect(&data, &stages, Some(training)).unwrap();

        let shown = story.contrastive_batch.as_ref().unwrap();
        assert_eq!(shown.slice, data.classes[1]);
        assert_eq!(
            shown.anchors.iter().map(|sample| sample.row).collect::<Vec<_>>(),
            [3, 5],
            "twice drawn, once shown"
        );

        let worst = story.worst_group.as_ref().unwrap();
        assert_eq!((worst.wrong, worst.count), (group.rows.len() as u64, group.rows.len() as u64));
        assert_eq!(worst.samples[0].row, group.rows[0]);
        assert_eq!(worst.samples[0].predictions[0].class, worst.samples[0].class, "the first stage was right");
        assert_eq!(
            worst.samples[0].predictions[1].class,
            data.classes[data.test.attributes()[group.rows[0] as usize] as usize]
        );

        assert!(story.counterfactuals.is_empty(), "the first stage does not change its mind with the colour");
        assert_eq!(story.representations.len(), 2);
        assert_eq!(story.representations[0].x.len(), data.test.len().min(POINTS));
        assert!(
            story.representations[0].explained.iter().sum::<f64>() > 0.99,
            "directions of two columns vary in a plane"
        );

        assert_eq!(story, collect(&data, &stages, Some(training)).unwrap(), "the same input gives the same story");
        let text = serde_json::to_string(&story).unwrap();
        assert_eq!(serde_json::from_str::<Story>(&text).unwrap(), story);
    }

    #[test]
    fn counterfactuals_show_every_colour_of_an_image_whose_prediction_changes() {
        let data = digits();
        let colour = reads_colour(&data.test);
        let story = collect(&data, &[StageView { title: "ERM", test: &colour, worst_group: None }], None).unwrap();
        assert_eq!(story.counterfactuals.len(), COUNTERFACTUALS);
        for shown in &story.counterfactuals {
            let attributes: Vec<&String> = shown.versions.iter().map(|version| &version.attribute).collect();
            assert_eq!(attributes, data.attributes.iter().collect::<Vec<_>>());
            assert!(shown.versions.iter().all(|version| version.class == shown.class));
        }
        let classes: Vec<&String> = story.counterfactuals.iter().map(|shown| &shown.class).collect();
        assert!(classes.windows(2).all(|pair| pair[0] != pair[1]), "each of another class");
    }

    #[test]
    fn answers_that_do_not_cover_the_split_are_refused() {
        let data = digits();
        let mut short = reads_colour(&data.test);
        short.classes.pop();
        let error = collect(&data, &[StageView { title: "ERM", test: &short, worst_group: None }], None).unwrap_err();
        let rows = data.test.len();
        assert_eq!(
            error.to_string(),
            format!("stage `ERM`: predictions of the test split has {} entries, expected {rows}, one a row", rows - 1)
        );
        let train = reads_colour(&data.train);
        let row = data.train.len() as u32;
        let batch =
            Drawn { slice: 0, anchors: vec![row], positives: vec![], negatives: vec![], easy_negatives: vec![] };
        let error = collect(&data, &[], Some(TrainingView { title: "ERM", train: &train, batch: &batch })).unwrap_err();
        assert!(matches!(error, StoryError::Row { row: missing, split: "training" } if missing == row));
    }
}

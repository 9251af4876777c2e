//! Datasets of what a program holds: images, texts or tensors, in no file.

use std::sync::Arc;

use candle_core::Tensor;

use super::open::Dataset;
use super::split::{Content, Split};
use crate::DataError;
use crate::content::{Kept, Store, Tensors, TextRows, Views};
use crate::image::transform::{Preparer, RandomView, Transform};
use crate::image::{ImageError, Picture};
use crate::manifest::SplitName;
use crate::preparation::{ImagePreparation, Preparation, TextInputs};
use crate::rows::Groups;
use crate::table::Texts;

impl Dataset {
    /// A dataset of three splits that a program made, with the names of its classes and of its attribute's values (none where
    /// there is no attribute): the labels and attributes of rows are indices into these.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use cnc_data::{Augment, Dataset, Split};
    ///
    /// // Sixteen images of 3 x 32 x 32 values in each split, on land or on water.
    /// let split = || {
    ///     let images = Tensor::zeros((16, 3, 32, 32), DType::F32, &Device::Cpu)?;
    ///     let labels = (0..16).map(|row| row % 2).collect();
    ///     let places = (0..16).map(|row| row / 2 % 2).collect();
    ///     Split::from_tensors(&images, labels)?.with_attributes(places)
    /// };
    /// let birds = Dataset::from_splits(
    ///     "birds",
    ///     &["landbird", "waterbird"],
    ///     &["land", "water"],
    ///     [split()?, split()?, split()?],
    /// )?;
    /// assert_eq!(birds.test.groups()[1].name, "landbird / water");
    /// assert_eq!(birds.test.groups()[1].rows, [2, 6, 10, 14]);
    /// assert_eq!(birds.train.batch(&[0, 7], Augment::None)?.labels.to_vec1::<u32>()?, [0, 1]);
    /// # Ok::<(), cnc_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::Memory`]: less than two classes, a name that stands twice, a split without rows, a label or an attribute
    /// without a name, splits of which one has attributes and another has none, a class without rows in training, or splits
    /// that hold different things.
    pub fn from_splits(
        name: &str,
        classes: &[&str],
        attributes: &[&str],
        splits: [Split; 3],
    ) -> Result<Self, DataError> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_string()).collect::<Vec<_>>();
        let (classes, attributes) = (owned(classes), owned(attributes));
        check_names(&classes, &attributes)?;
        let [train, validation, test] = splits;
        let preparation = train.preparation.clone();
        for (split, name) in [&train, &validation, &test].into_iter().zip(SplitName::ALL) {
            split.check(&classes, &attributes).map_err(|problem| memory(format!("split `{name}` {problem}")))?;
            if (split.shape(), &split.preparation) != (train.shape(), &preparation) {
                return Err(memory(format!(
                    "split `{name}` holds other things than `train`: one kind and size is needed"
                )));
            }
        }
        if let Some((_, class)) = (0..).zip(&classes).find(|(class, _)| !train.labels.contains(class)) {
            return Err(memory(format!("split `train` has no row of class {class:?}")));
        }
        let named = |split: Split, name| {
            let groups = Groups::disjoint(&classes, &attributes, &split.labels, &split.attributes);
            Arc::new(Split { name, groups, ..split })
        };
        Ok(Self {
            name: name.to_string(),
            train: named(train, SplitName::Train),
            validation: named(validation, SplitName::Validation),
            test: named(test, SplitName::Test),
            classes,
            attributes,
            notes: Vec::new(),
            skipped: Vec::new(),
            preparation,
        })
    }
}

impl Split {
    /// Images of 8-bit RGB with the class of each, transformed as a manifest's `[transform]` says.
    ///
    /// # Errors
    /// [`DataError::Memory`]: not a label for each image, images of several sizes without a `resize`, or a random part of the
    /// decoded image ([`RandomView::ResizedCrop`]), which only images in files have; [`DataError::Option`] for a transform
    /// that cannot be.
    pub fn from_images(images: Vec<Picture>, labels: Vec<u32>, transform: &Transform) -> Result<Self, DataError> {
        transform.check().map_err(|(name, problem)| DataError::Option { name, problem })?;
        let count = images.len();
        let mut store = Store::new(count, 1);
        let mut preparer = Preparer::new();
        for (row, image) in images.into_iter().enumerate() {
            let of_row = |problem: ImageError| memory(format!("image {row}: {problem}"));
            let values = image.width as usize * image.height as usize * 3;
            if values == 0 || values != image.pixels.len() {
                let (width, height) = (image.width, image.height);
                let problem = format!("{width} x {height} pixels need other than {} values", image.pixels.len());
                return Err(of_row(problem.into()));
            }
            let original = matches!(transform.random, RandomView::ResizedCrop { .. }).then(|| image.clone());
            let prepared = preparer.prepare(transform, image).map_err(of_row)?;
            store.put(row, vec![Kept { prepared, original }]).map_err(of_row)?;
        }
        let pixels = store.finish().ok_or_else(|| memory("there are no images".to_string()))?;
        let fault = |problem| DataError::Option { name: "crop", problem };
        let views = Views::new(transform, pixels).map_err(fault)?;
        let preparation = Preparation::Image(ImagePreparation::new(transform, views.stored()));
        Self::of_rows(count, labels, Content::Images(views), preparation)
    }

    /// Texts with the class of each, tokenised as `inputs` does it.
    ///
    /// # Errors
    /// [`DataError::Memory`]: not a label for each text; what the tokenizer refuses.
    pub fn from_texts<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        labels: Vec<u32>,
        inputs: &TextInputs,
    ) -> Result<Self, DataError> {
        let mut all = Texts::default();
        texts.into_iter().for_each(|text| all.push(text));
        let (count, preparation) = (all.len(), Preparation::Text(inputs.preparation().clone()));
        let texts = TextRows::of_texts(all, &inputs.tokenizer)?;
        Self::of_rows(count, labels, Content::Texts(texts), preparation)
    }

    /// Images `(rows, channels, height, width)` as the network reads them, with the class of each.
    ///
    /// # Errors
    /// [`DataError::Memory`]: another shape, or not a label for each image.
    pub fn from_tensors(images: &Tensor, labels: Vec<u32>) -> Result<Self, DataError> {
        let tensors = Tensors::new(images)?;
        Self::of_rows(tensors.len(), labels, Content::Tensors(tensors), Preparation::Tensor)
    }

    /// The same rows with the spurious attribute of each: for evaluation, and for methods that are told it.
    ///
    /// # Errors
    /// [`DataError::Memory`]: not an attribute for each row.
    pub fn with_attributes(self, attributes: Vec<u32>) -> Result<Self, DataError> {
        if attributes.len() != self.labels.len() {
            return Err(memory(format!("{} attributes for {} rows", attributes.len(), self.labels.len())));
        }
        Ok(Self { attributes, ..self })
    }

    /// Its classes have their names, and rows their groups, once the split is part of a dataset.
    fn of_rows(count: usize, labels: Vec<u32>, content: Content, preparation: Preparation) -> Result<Self, DataError> {
        if labels.len() != count {
            return Err(memory(format!("{} labels for {count} rows", labels.len())));
        }
        Ok(Self {
            name: SplitName::Train,
            groups: Groups::disjoint(&[], &[], &[], &[]),
            labels,
            attributes: Vec::new(),
            counterfactuals: None,
            content,
            preparation,
            sources: None,
        })
    }

    fn check(&self, classes: &[String], attributes: &[String]) -> Result<(), String> {
        if self.labels.is_empty() {
            return Err("has no rows".to_string());
        }
        if self.attributes.is_empty() != attributes.is_empty() {
            return Err(format!("has {} attributes of {} names", self.attributes.len(), attributes.len()));
        }
        for (what, indices, names) in [("label", &self.labels, classes), ("attribute", &self.attributes, attributes)] {
            if let Some((row, index)) = indices.iter().enumerate().find(|(_, index)| **index as usize >= names.len()) {
                return Err(format!("has the {what} {index} in row {row}, and there are {} names", names.len()));
            }
        }
        Ok(())
    }
}

fn check_names(classes: &[String], attributes: &[String]) -> Result<(), DataError> {
    if classes.len() < 2 {
        return Err(memory("a classifier needs at least two classes".to_string()));
    }
    for names in [classes, attributes] {
        if let Some((_, name)) = names.iter().enumerate().find(|(i, name)| names.iter().take(*i).any(|n| n == *name)) {
            return Err(memory(format!("the name {name:?} stands twice")));
        }
    }
    Ok(())
}

fn memory(problem: String) -> DataError {
    DataError::Memory { problem }
}

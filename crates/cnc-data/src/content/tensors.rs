//! Images that a program holds as the network reads them.

use candle_core::{DType, Device, Tensor};

use crate::DataError;
use crate::image::Picture;

/// The images of a split: `(rows, channels, height, width)`, f32, on the CPU.
pub(crate) struct Tensors {
    images: Tensor,
    shape: (usize, usize, usize),
}

impl Tensors {
    pub(crate) fn new(images: &Tensor) -> Result<Self, DataError> {
        let &[_, channels, height, width] = images.dims() else {
            let problem = format!("images must be (rows, channels, height, width), not {:?}", images.dims());
            return Err(DataError::Memory { problem });
        };
        if channels * height * width == 0 {
            return Err(DataError::Memory { problem: format!("images of shape {:?} hold nothing", images.dims()) });
        }
        let images = images.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?;
        Ok(Self { images, shape: (channels, height, width) })
    }

    pub(crate) fn len(&self) -> usize {
        self.images.dims().first().copied().unwrap_or_default()
    }

    /// `(channels, height, width)` of one image.
    pub(crate) fn shape(&self) -> (usize, usize, usize) {
        self.shape
    }

    /// What the images are: see [`Split::tell`](crate::Split::tell).
    pub(crate) fn tell(&self, digest: &mut dyn FnMut(&[u8])) {
        digest(format!("{:?}", self.images.dims()).as_bytes());
        // They are contiguous, f32, and on the CPU.
        let values = self.images.flatten_all().and_then(|images| images.to_vec1::<f32>()).unwrap_or_default();
        values.iter().for_each(|value| digest(&value.to_le_bytes()));
    }

    /// `(rows, channels, height, width)`.
    pub(crate) fn batch(&self, rows: &[u32]) -> Result<Tensor, DataError> {
        let places = Tensor::new(rows, &Device::Cpu)?;
        Ok(self.images.index_select(&places, 0)?)
    }

    /// A row's image with its values from the least to the greatest as grey levels; of one channel as grey, else its first
    /// three as colours. Nothing where there is no such row.
    pub(crate) fn picture(&self, row: u32) -> Result<Option<Picture>, DataError> {
        let row = row as usize;
        if row >= self.len() {
            return Ok(None);
        }
        let (channels, height, width) = self.shape;
        let values = self.images.get(row)?.flatten_all()?.to_vec1::<f32>()?;
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let (least, most) = (finite().fold(f32::INFINITY, f32::min), finite().fold(f32::NEG_INFINITY, f32::max));
        let range = if most > least { most - least } else { 1.0 };
        let plane = height * width;
        let level = |place: usize, colour: usize| {
            let channel = if channels < 3 { 0 } else { colour };
            values.get(channel * plane + place).map_or(0, |value| (255.0 * (value - least) / range) as u8)
        };
        let pixels = (0..plane).flat_map(|place| [0, 1, 2].map(|colour| level(place, colour))).collect();
        Ok(Some(Picture { width: width as u32, height: height as u32, pixels }))
    }
}

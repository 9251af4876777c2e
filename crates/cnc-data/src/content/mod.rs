//! What the rows of a split hold, ready for batches: views of images, of which `images` has the encoded ones, `pixels` the
//! decoded ones and `views` what a network sees; texts with their tokens; tensors of a program.

mod images;
mod named;
mod opening;
mod pack;
mod pixels;
mod store;
mod tensors;
mod texts;
mod views;

pub use opening::Skipped;
pub(crate) use opening::open_images;
pub(crate) use store::{Kept, Store};
pub(crate) use tensors::Tensors;
pub(crate) use texts::TextRows;
pub use views::Augment;
pub(crate) use views::Views;

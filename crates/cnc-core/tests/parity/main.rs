//! Figures of PyTorch, NumPy and scikit-learn, room by room.

mod contrast;
mod fits;
mod losses;
mod methods;
mod reference;
mod samples;
mod tensors;

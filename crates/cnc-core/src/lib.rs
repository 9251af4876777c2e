//! Correct-N-Contrast.

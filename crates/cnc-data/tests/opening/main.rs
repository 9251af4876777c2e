//! Datasets opened as a user opens them.

mod common;

mod bad_manifests;
mod bad_pages;
mod bad_tables;
mod bad_texts;
mod built_in;
mod dialects;
mod drawn_splits;
mod folders;
mod image_folders;
mod layouts;
mod loading;
mod memory;
mod texts;

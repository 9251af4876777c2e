//! Set-up shared by the end-to-end tests.

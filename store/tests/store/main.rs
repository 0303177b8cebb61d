//! The store from outside, on a disk that forgets.

mod append_and_read;
mod model;
mod support;

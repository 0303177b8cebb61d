//! The store from outside, on a disk that forgets.

mod apache;
mod append_and_read;
mod faults;
mod full;
mod inspect;
mod model;
mod salvage;
mod support;
mod threads;

//! The store from outside, on a disk that forgets.

mod apache;
mod append_and_read;
mod damage;
mod faults;
mod model;
mod support;
mod threads;

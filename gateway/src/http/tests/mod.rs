//! HTTP as its users see it: handlers without sockets, and the listeners with raw bytes.

mod fake;
mod listener;
mod rows;

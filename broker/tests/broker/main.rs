//! A broker as its clients, tools and name servers see it: whole, on free ports, in a folder of its
//! own. Nothing here knows what is inside.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod batches;
mod clients;
mod desk;
mod disk_faults;
mod faulty_disk;
mod life;
mod limits;
mod name_servers;
mod offsets;
mod pulls;
mod refusals;
mod sends;
mod tools;
mod waiting;
mod words;

//! The store from outside, on a disk that forgets.

mod apache;
mod append_and_read;
mod damage;
mod ended;
mod faults;
mod full;
mod halves;
mod hostile;
mod inspect;
mod model;
#[path = "../../../fuzz/replay.rs"]
mod replay;
mod salvage;
mod starts;
mod support;
mod threads;
mod unreadable;

#[test]
fn seeds_of_the_fuzz_targets_find_nothing() {
    replay::every_seed("recovery", hostile::recovery);
    replay::every_seed("store_files", hostile::store_files);
}

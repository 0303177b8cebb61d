//! Every fuzz target by its name. What each does with its bytes stands in the crate that it is
//! about; here is only the list, for `src/bin/*`.

#![allow(dead_code, reason = "files that are shared with tests have more than targets use")]

#[path = "../../proto/tests/hostile/generic.rs"]
mod generic;
#[path = "../../proto/tests/hostile/targets.rs"]
mod proto_targets;
#[path = "../../store/tests/store/hostile.rs"]
mod store_targets;
#[path = "../../store/tests/store/support.rs"]
mod support;
#[path = "../../src/choices/mod.rs"]
mod choices;
#[path = "../../src/exit.rs"]
mod exit;

pub use broker::hostile::{broker_conf, client_properties, state_files};
pub use gateway::hostile::{http_metadata, http_request};
pub use namesrv::hostile::{kv_file, namesrv_conf, registration};

macro_rules! targets {
    ($($module:ident: $($target:ident),*;)*) => {$($(
        pub fn $target(data: &[u8]) {
            $module::$target(data);
        }
    )*)*};
}

targets! {
    proto_targets: frame_json, frame_binary, frame_stream, json_body, texts, batch_body, stored_record;
    store_targets: recovery, store_files;
    choices: gantry_toml;
}

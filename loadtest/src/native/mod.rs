//! Load over the native protocol: sending, pulling, and both with the time between.

mod e2e;
mod frame;
mod lane;
mod load;
mod pace;
mod payload;
mod pull;
mod pulls;
mod socket;
mod target;

use std::sync::Arc;
use std::time::Instant;

use client::Tasks;

use crate::command::{Pull, Send};
use crate::failure::Failure;
use crate::report;
use crate::verify::{self, Log};

pub use e2e::load_and_receive;
pub(crate) use frame::FIRST_OPAQUE;
pub use load::{Choice, Plan, Tally, load};
pub use payload::{PAYLOAD_BYTES, Payload};
pub(crate) use pulls::{Pulled, Pulls, SLOTS, Walk};
pub use target::Found;

/// A number for each number, with all bits mixed (the last steps of SplitMix64): chance that repeats.
fn scattered(n: u64) -> u64 {
    let n = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

/// `loadtest native send`
pub async fn send(args: &Send) -> Result<(), Failure> {
    let tasks = Tasks::root();
    let found = Found::find(&args.target, &tasks).await?;
    let mut plan = Plan::new(&found, &args.shape);
    let wants_log = args.verify || args.log.is_some();
    let log_path = args.log.clone().unwrap_or_else(|| {
        let name = format!("loadtest-{:016x}.log", plan.run);
        std::env::temp_dir().join(name)
    });
    if wants_log {
        let run = found.run(plan.run).await?;
        plan.log = Some(Arc::new(Log::create(&log_path, &run)?));
        plan.shape.size = plan.shape.size.max(PAYLOAD_BYTES as u32);
    }
    let tally = load(&plan, Instant::now()).await?;
    let mut result = tally.to_json(&plan);
    report::out(&tally.line(&plan));
    let checked = if args.verify {
        let verdict = verify::check(std::slice::from_ref(&log_path), None, !args.any_order).await?;
        report::out(&verdict.line());
        result["verify"] = serde_json::to_value(&verdict).unwrap_or_default();
        verify::judge(&verdict)
    } else {
        Ok(())
    };
    report::write_json(args.json.as_deref(), &result)?;
    if checked.is_ok() && args.log.is_none() && wants_log {
        std::fs::remove_file(&log_path).map_err(Failure::io("cannot remove the log"))?;
    } else if wants_log {
        report::note(&format!("the log is {}", log_path.display()));
    }
    if tally.ok == 0 {
        let why = tally
            .first_failure
            .unwrap_or_else(|| "no answer at all".into());
        return Err(Failure::Impossible(format!(
            "nothing was acknowledged: {why}"
        )));
    }
    checked
}

/// `loadtest native pull`
pub async fn pull(args: &Pull) -> Result<(), Failure> {
    pull::run(args).await
}

/// `loadtest native e2e`
pub async fn e2e(args: &Send) -> Result<(), Failure> {
    e2e::run(args).await
}

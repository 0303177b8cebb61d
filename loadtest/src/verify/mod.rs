//! Proof: the log of what was acknowledged, and the check that all of it can be read.

mod check;
mod log;
mod read_back;

use std::path::PathBuf;

use proto::Text;

use crate::command::Verify;
use crate::failure::Failure;
use crate::report;

pub use check::{Checker, Missing, Verdict};
pub use log::{Entry, Log, Place, Run, Start, read as read_log};

/// `loadtest verify`
pub async fn logs(args: &Verify) -> Result<(), Failure> {
    let verdict = check(&args.logs, args.namesrv.clone(), !args.any_order).await?;
    report::out(&verdict.line());
    judge(&verdict)
}

/// Reads back what these logs of one run say, from where the first of them began.
pub async fn check(
    logs: &[PathBuf],
    namesrv: Option<Text>,
    in_order: bool,
) -> Result<Verdict, Failure> {
    let mut all: Option<(Run, Checker)> = None;
    for path in logs {
        let (run, entries) = log::read(path)?;
        let (first, checker) = all.get_or_insert_with(|| {
            let mut checker = Checker::new(run.id, in_order);
            run.starts.iter().for_each(|start| checker.begins(start));
            (run.clone(), checker)
        });
        if (run.id, &run.topic, &run.brokers) != (first.id, &first.topic, &first.brokers) {
            return Err(Failure::bad_file(
                path,
                "is of another run than the first log",
            ));
        }
        entries.iter().for_each(|entry| checker.logged(entry));
    }
    let Some((run, checker)) = all else {
        return Err(Failure::Impossible("there is no log".into()));
    };
    read_back::all(&run, namesrv, checker).await
}

/// An error unless everything holds.
pub fn judge(verdict: &Verdict) -> Result<(), Failure> {
    if verdict.holds() {
        return Ok(());
    }
    Err(Failure::CheckFailed(verdict.findings.join("; ")))
}

//! Starting and stopping the parts that more than one sub-command runs, and what their errors mean
//! to the shell.

use std::time::Duration;

use broker::{Config, NameServer, Running, StartError, StopError};
use store::OpenError;

use crate::{
    exit::{Exit, Failure},
    process::Life,
};

/// How long connections may take to finish what is in flight.
const GRACE: Duration = Duration::from_secs(8);

pub(crate) async fn start_namesrv(
    config: namesrv::Config,
    life: &Life,
) -> Result<namesrv::Running, Failure> {
    let started = namesrv::NameServer::start(config, &life.tasks).await;
    started.map_err(|error| match error {
        namesrv::StartError::Listen { addr, cause } => Failure::listen("name server", addr, &cause),
        namesrv::StartError::Settings(error) => Failure::new(Exit::NoAccess, error),
    })
}

pub(crate) async fn start_broker(
    config: Config,
    names: Vec<NameServer>,
    life: &Life,
) -> Result<Running, Failure> {
    let started = Running::start(config, names, &life.tasks).await;
    started.map_err(|error| match error {
        StartError::Listen { addr, source } => Failure::listen("broker", addr, &source),
        StartError::Store(error) => store_failure(&error),
        StartError::State(broker::LoadError::Io { path, source }) => Failure::file(&path, &source),
        StartError::State(error @ broker::LoadError::Damaged { .. }) => {
            Failure::new(Exit::Damaged, error)
        }
        StartError::Address { .. } => Failure::config(error),
        StartError::Thread(_) => Failure::new(Exit::System, error),
    })
}

fn store_failure(error: &OpenError) -> Failure {
    match error {
        OpenError::Locked(_) => Failure::new(Exit::Locked, error),
        OpenError::Io { path, source } => Failure::file(path, source),
        OpenError::WrongSegmentSize { .. } => Failure::config(error),
        OpenError::Damaged(places) => {
            let places: Vec<_> = places.iter().map(|place| format!("\n  {place}")).collect();
            Failure::new(Exit::Damaged, format!("{error}:{}", places.concat()))
        }
    }
}

/// Stops it in the order that loses nothing, unless a second signal comes first.
pub(crate) async fn stop_broker(running: Running, life: &mut Life) -> Result<(), Failure> {
    let mut outcome = Ok(());
    life.stopping(async { outcome = running.stop(GRACE).await })
        .await;
    outcome.map_err(|error| match &error {
        StopError::Store(_) | StopError::State(_) => Failure::new(Exit::Failed, &error),
    })
}

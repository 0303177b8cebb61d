//! `gantry namesrv`: a name server alone, launched as Apache's `mqnamesrv` is.

use clap::Args;
use namesrv::{Config, NameServer};

use super::Alone;
use crate::{
    choices::check_exposure,
    exit::Failure,
    output,
    process::{self, GRACE},
};

#[derive(Debug, Args)]
pub(super) struct Namesrv {
    #[command(flatten)]
    alone: Alone,
}

impl Namesrv {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let (config, warnings) =
            Config::from_entries(&self.alone.entries()?).map_err(Failure::config)?;
        if self.alone.print {
            output::say(config.to_properties_text().trim_end());
            return Ok(());
        }
        output::warn_of(&warnings);
        check_exposure(config.listen.bind, self.alone.insecure)?;
        process::run(async |life| {
            let running = NameServer::start(config, &life.tasks.child()).await?;
            // compat: NamesrvStartup prints this line, and scripts wait for it.
            output::say(format_args!(
                "The Name Server boot success. serializeType=JSON, address {}",
                running.addr
            ));
            life.until_told_to_stop().await;
            let tasks = life.tasks.clone();
            if let Err(unfinished) = life.stopping(tasks.close(GRACE)).await {
                tracing::warn!(%unfinished, "stopped without them");
            }
            Ok(())
        })
    }
}

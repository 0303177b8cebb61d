//! `gantry namesrv`: a name server alone, launched as Apache's `mqnamesrv` is.

use clap::Args;
use namesrv::config::Config;

use super::Alone;
use crate::{choices::check_exposure, exit::Failure, output, parts, process};

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
            let running = parts::start_namesrv(config, life).await?;
            // compat: NamesrvStartup prints this line, and scripts wait for it.
            output::say(format_args!(
                "The Name Server boot success. serializeType=JSON, address {}",
                running.addr
            ));
            life.until_told_to_stop().await;
            Ok(())
        })
    }
}

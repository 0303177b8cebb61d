//! `gantry namesrv`: a name server alone, launched as Apache's `mqnamesrv` is.

use clap::Args;
use namesrv::config::Config;

use super::Alone;
use crate::{choices::check_exposure, exit::Failure, output};

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
        Ok(())
    }
}

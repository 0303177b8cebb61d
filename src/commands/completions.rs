//! `gantry completions SHELL`: a completion script on stdout.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use crate::output;

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell, as in: gantry completions bash > /etc/bash_completion.d/gantry
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "gantry", &mut script);
        output::say(String::from_utf8_lossy(&script).trim_end());
    }
}

//! The network of N4 without its clients, so that others can be tried through it.

use std::io;
use std::time::Duration;

use client::Tasks;
use loadtest::report;

use super::cut::fate;
use super::proxy::{Fate, Proxy};
use crate::command::Detour;
use crate::dice::Dice;

/// Connections have so long to notice that they are ended.
const GRACE: Duration = Duration::from_secs(10);

/// Begins calm. Each line on standard input ends all connections and turns cutting on or off.
pub(crate) async fn alone(detour: &Detour) -> Result<(), String> {
    for phase in 0.. {
        let cuts = phase % 2 == 1;
        let mut dice = Dice::of(detour.seed, phase);
        let decide = move || {
            if cuts {
                fate(&mut dice)
            } else {
                Fate::default()
            }
        };
        let tasks = Tasks::root();
        let proxy = Proxy::start(detour.listen, detour.upstream, Box::new(decide), &tasks).await;
        let proxy = proxy.map_err(|why| format!("cannot listen on {}: {why}", detour.listen))?;
        report::out(if cuts { "cutting" } else { "calm" });
        let more = wait_for_line()?;
        if cuts {
            report::out(&format!("{} cut", proxy.ended()));
        }
        tasks
            .close(GRACE)
            .await
            .map_err(|left| format!("does not end: {left}"))?;
        if !more {
            break;
        }
    }
    Ok(())
}

/// `false`: there will be no more.
fn wait_for_line() -> Result<bool, String> {
    let mut line = String::new();
    let read = tokio::task::block_in_place(|| io::stdin().read_line(&mut line));
    read.map(|bytes| bytes > 0).map_err(|why| why.to_string())
}

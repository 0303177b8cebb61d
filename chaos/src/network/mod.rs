//! What happens on the wire, and at its other end.

mod alone;
mod cut;
mod flood;
mod half_open;
mod member;
mod names;
mod overload;
mod proxy;
mod slow;
mod storm;

use std::net::{Ipv4Addr, SocketAddr};

use client::Tasks;

use crate::course::{Course, Stop};
use crate::house::{House, Plan};
use crate::table::Scenario;
use proxy::{Fate, Proxy};

pub(crate) use alone::alone;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        id: "N4-cut",
        says: "connections end at any byte: nothing is lost, altered or stuck",
        short: 500,
        long: 10_000,
        needs_root: false,
        run: |course| Box::pin(cut::run(course)),
    },
    Scenario {
        id: "N6-half-open",
        says: "peers vanish without a word: their connections, pulls and queues are given up in time",
        short: 1,
        long: 2,
        needs_root: false,
        run: |course| Box::pin(half_open::run(course)),
    },
    Scenario {
        id: "N7-slow",
        says: "one consumer takes 1 KiB a second: little is kept for it, the others go on",
        short: 1,
        long: 5,
        needs_root: false,
        run: |course| Box::pin(slow::run(course)),
    },
    Scenario {
        id: "N8-flood",
        says: "connections flood in, or idle, or no file is left: those there are served as before",
        short: 1,
        long: 2,
        needs_root: false,
        run: |course| Box::pin(flood::run(course)),
    },
    Scenario {
        id: "N10-names",
        says: "the name server is gone and comes back empty: routes work on, brokers register again",
        short: 1,
        long: 2,
        needs_root: false,
        run: |course| Box::pin(names::run(course)),
    },
    Scenario {
        id: "N11-overload",
        says: "three times what it can take: explicit refusals, goodput, memory stays bounded",
        short: 1,
        long: 5,
        needs_root: false,
        run: |course| Box::pin(overload::run(course)),
    },
    Scenario {
        id: "N12-storm",
        says: "consumers die before they commit: nothing is lost, order is kept",
        short: 10,
        long: 150,
        needs_root: false,
        run: |course| Box::pin(storm::run(course)),
    },
];

/// Where clients find the broker when all they send it goes through a proxy.
const DETOUR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A server that says it is where a proxy in front of it listens.
async fn behind_proxy(
    course: &Course,
    settings: &[&str],
    decide: impl FnMut() -> Fate + Send + 'static,
    tasks: &Tasks,
) -> Result<(House, Proxy), Stop> {
    let detour = format!("brokerIP1={DETOUR}");
    let plan = Plan::new(course, "sync").set(&detour);
    let plan = settings
        .iter()
        .fold(plan, |plan, setting| plan.set(setting));
    let house = plan.start().await?;
    let broker: SocketAddr = house.broker().parse().map_err(Stop::failed)?;
    let listen = SocketAddr::from((DETOUR, broker.port()));
    let proxy = Proxy::start(listen, broker, Box::new(decide), tasks);
    Ok((house, proxy.await.map_err(Stop::io("proxy"))?))
}

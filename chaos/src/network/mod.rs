//! What happens on the wire, and at its other end.

mod cut;
mod proxy;

use std::net::{Ipv4Addr, SocketAddr};

use client::Tasks;

use crate::course::{Course, Stop};
use crate::house::{House, Plan};
use crate::table::Scenario;
use proxy::{Fate, Proxy};

pub(crate) const SCENARIOS: &[Scenario] = &[Scenario {
    id: "N4-cut",
    says: "connections end at any byte: nothing is lost, altered or stuck",
    short: 500,
    long: 10_000,
    needs_root: false,
    run: |course| Box::pin(cut::run(course)),
}];

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

//! Two brokers in turn under the same load. On a shared machine only the ratio within one run means
//! something.

use std::time::Instant;

use client::Tasks;

use crate::command::{Compare, Target};
use crate::failure::Failure;
use crate::native::{Found, Plan, load};
use crate::{report, sink};

/// The word for a server of our own.
const SINK: &str = "sink";

/// `loadtest compare`
pub async fn run(args: &Compare) -> Result<(), Failure> {
    let tasks = Tasks::root();
    let mut plans = Vec::new();
    for name in [&args.a, &args.b] {
        let addr = if name == SINK {
            sink::start("127.0.0.1:0", &tasks).await?.to_string().into()
        } else {
            name.clone()
        };
        let mut target = Target::broker(addr, args.topic.clone());
        target.queues = args.queues;
        let found = Found::find(&target, &tasks).await?;
        plans.push((name, Plan::new(&found, &args.shape), Vec::new()));
    }
    for round in 1..=args.rounds {
        for (name, plan, rates) in &mut plans {
            let tally = load(plan, Instant::now()).await?;
            report::note(&format!("round {round}  {name}  {}", tally.line(plan)));
            rates.push(tally.rate(plan));
        }
    }
    let medians: Vec<_> = plans
        .into_iter()
        .map(|(_, _, rates)| report::median(rates))
        .collect();
    let [a, b] = medians.as_slice() else {
        return Ok(());
    };
    report::out(&format!(
        "{} {a:.0}/s  {} {b:.0}/s  ratio {:.3}",
        args.a,
        args.b,
        a / b
    ));
    Ok(())
}

//! Two brokers in turn under the same load. On a shared machine only the ratio within one run means
//! something.

use std::time::Instant;

use client::Tasks;
use proto::Text;

use crate::command::{Compare, Target};
use crate::failure::Failure;
use crate::native::{Found, Plan, load};
use crate::{report, sink};

/// The word for a server of our own.
const SINK: &str = "sink";

/// `loadtest compare`
pub async fn run(args: &Compare) -> Result<(), Failure> {
    let tasks = Tasks::root();
    let names = [&args.a, &args.b];
    let mut plans = Vec::new();
    for name in names {
        let addr = if name == SINK {
            sink::start("127.0.0.1:0", &tasks).await?.to_string().into()
        } else {
            name.clone()
        };
        let mut target = Target::broker(addr, args.topic.clone());
        target.queues = args.queues;
        let found = Found::find(&target, &tasks).await?;
        plans.push(Plan::new(&found, &args.shape));
    }
    let mut rates = [Vec::new(), Vec::new()];
    for round in 1..=args.rounds {
        // What the one leaves behind, in memory and on its way to the disk, is felt by the next.
        let order = if round % 2 == 1 { [0, 1] } else { [1, 0] };
        for at in order {
            let plan = &plans[at];
            let tally = load(plan, Instant::now()).await?;
            let line = tally.line(plan);
            report::note(&format!("round {round}  {}  {line}", names[at]));
            rates[at].push(tally.rate(plan));
        }
    }
    report::out(&summary(names, rates));
    Ok(())
}

/// The ratio is the median of the rounds' own ratios; the least and the most tell what it is worth.
fn summary([a_name, b_name]: [&Text; 2], [a, b]: [Vec<f64>; 2]) -> String {
    let ratios: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a / b).collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    format!(
        "{a_name} {:.0}/s  {b_name} {:.0}/s  ratio {:.3} ({least:.3} to {most:.3})",
        report::median(a),
        report::median(b),
        report::median(ratios),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_compared_one_by_one() {
        let names = [&Text::from("a"), &Text::from("b")];
        let rates = [vec![100.0, 30.0, 50.0], vec![50.0, 30.0, 40.0]];
        let line = summary(names, rates);
        assert_eq!(line, "a 50/s  b 40/s  ratio 1.250 (1.000 to 2.000)");
    }
}

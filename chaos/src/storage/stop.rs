//! N13: SIGTERM under load, in both flush modes in turn.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::course::{Course, STUCK, Stop, must};
use crate::house::Plan;
use crate::load::{Load, check, check_one};

const STOPS_MAX: Duration = Duration::from_secs(10);
const CLEAN: &str = "state: closed cleanly";

pub(super) async fn run(course: &mut Course) -> Result<(), Stop> {
    let plans = ["sync", "async"].map(|flush| Plan::new(course, flush));
    let mut logs = Vec::new();
    for (cycle, plan) in course.numbers().zip(plans.iter().cycle()) {
        let life = course.begin(cycle).millis(50..1000);
        let mut house = plan.start().await?;
        // The load goes on while the server stops.
        let load = Load::new(life * 2).ready(course, &house).await?;
        let stop = async {
            tokio::time::sleep(life).await;
            let told = Instant::now();
            house.signal(Signal::TERM)?;
            let code = house.ends(STUCK).await?;
            Ok::<_, Stop>((code, told.elapsed()))
        };
        let (loaded, stopped) = tokio::join!(load.put_on(), stop);
        loaded?;
        let (code, took) = stopped?;
        must(code == Some(0), || {
            format!("exit code {code:?}: {}", house.said())
        })?;
        course.figures.most("stop_ms", took.as_secs_f64() * 1000.0);
        course.goal(took <= STOPS_MAX, || format!("stopped after {took:?}"))?;
        // What was closed cleanly and is vouched for to its end is not read at the next start.
        let state = plan.audit()?;
        must(state.contains(CLEAN), || format!("not closed: {state}"))?;
        let (good_to, log_end) = (
            number(&state, "good up to log offset "),
            number(&state, "log: 0 to "),
        );
        must(good_to.is_some() && good_to == log_end, || {
            format!("the next start would read the log: {state}")
        })?;
        house = plan.start().await?;
        course.figures.recovered(house.ready);
        let verdict = check_one(course, &load.log, &house).await?;
        course.say(format!(
            "stopped in {} ms  {}",
            took.as_millis(),
            verdict.line()
        ));
        logs.push(load.log);
        if cycle == course.cycles {
            check(&logs, &house).await?;
        }
    }
    Ok(())
}

/// The number behind some words.
fn number(text: &str, words: &str) -> Option<u64> {
    let (_, behind) = text.split_once(words)?;
    let digits = behind.find(|char: char| !char.is_ascii_digit());
    behind.get(..digits.unwrap_or(behind.len()))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_behind_their_words() {
        let state = "checkpoint: good up to log offset 77\nlog: 0 to 78, 2 records";
        assert_eq!(number(state, "good up to log offset "), Some(77));
        assert_eq!(number(state, "log: 0 to "), Some(78));
        assert_eq!(number(state, "nowhere "), None);
    }
}

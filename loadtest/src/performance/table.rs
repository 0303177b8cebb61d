//! Results as Markdown: ratios to the ceiling, because on a shared machine nothing else means much.

use std::fmt::Write;

use super::results::{CEILING, Case, Fact, Goal, Results, Sends};
use crate::command::{Flush, Ser};

/// All tables.
pub(super) fn markdown(results: &Results) -> String {
    let mut out = String::new();
    let subjects = results.subjects();
    let (goals, others): (Vec<Case>, Vec<Case>) = results
        .cases()
        .into_iter()
        .partition(|case| case.rate_goal().is_some());
    for cases in [goals, others] {
        if !cases.is_empty() {
            sends(results, &cases, &subjects, &mut out);
            out.push('\n');
        }
    }
    if !results.facts.is_empty() {
        out.push_str("| what | measured | goal | |\n|---|---|---|---|\n");
        results
            .facts
            .iter()
            .for_each(|fact| put_fact(fact, &mut out));
    }
    out
}

fn sends(results: &Results, cases: &[Case], subjects: &[&str], out: &mut String) {
    let mut head = "| flush | shape | size | header |".to_owned();
    for who in subjects {
        _ = write!(head, " {who}: rate | p99 | CPU |");
    }
    let columns = head.matches('|').count() - 1;
    _ = writeln!(out, "{head}\n|{}", "---|".repeat(columns));
    for case in cases {
        let Some(ceiling) = results.of(case, CEILING) else {
            continue;
        };
        let (flush, ser) = (flush_word(case.flush), ser_word(case.ser));
        let size = size_words(case.size);
        _ = write!(
            out,
            "| {flush} | {} x {} | {size} | {ser} |",
            case.conns, case.depth
        );
        for (at, who) in subjects.iter().enumerate() {
            match results.of(case, who) {
                None => out.push_str(" | | |"),
                Some(subject) => put_ratios(subject, ceiling, at == 0, out),
            }
        }
        out.push('\n');
    }
}

fn put_ratios(subject: &Sends, ceiling: &Sends, with_goals: bool, out: &mut String) {
    let case = &subject.case;
    for (value, by, goal) in [
        (subject.rate, ceiling.rate, case.rate_goal()),
        (subject.p99_us, ceiling.p99_us, case.p99_goal()),
        (subject.cpu_us, ceiling.cpu_us, case.cpu_goal()),
    ] {
        let ratio = value / by;
        match goal.filter(|_| with_goals) {
            None => _ = write!(out, " {ratio:.2} |"),
            Some(goal) => {
                let told = told(goal, ratio);
                _ = write!(out, " {ratio:.2} ({}{told}) |", goal_words(goal, 2));
            }
        }
    }
}

fn put_fact(fact: &Fact, out: &mut String) {
    let digits = if fact.unit.is_empty() { 2 } else { 1 };
    let unit = if fact.unit.is_empty() {
        String::new()
    } else {
        format!(" {}", fact.unit)
    };
    let goal = fact
        .goal
        .map_or_else(String::new, |goal| goal_words(goal, digits) + &unit);
    let verdict = match fact.goal {
        None => "",
        Some(goal) if goal.is_met(fact.value) => "met",
        Some(_) => "**missed**",
    };
    let (what, value) = (&fact.what, fact.value);
    _ = writeln!(
        out,
        "| {what} | {value:.digits$}{unit} | {goal} | {verdict} |"
    );
}

fn told(goal: Goal, value: f64) -> &'static str {
    if goal.is_met(value) {
        ""
    } else {
        ", **missed**"
    }
}

fn goal_words(goal: Goal, digits: usize) -> String {
    match goal {
        Goal::AtLeast(least) => format!("≥ {least:.digits$}"),
        Goal::AtMost(most) => format!("≤ {most:.digits$}"),
    }
}

pub(super) fn flush_word(flush: Flush) -> &'static str {
    match flush {
        Flush::Sync => "sync",
        Flush::Async => "async",
    }
}

fn ser_word(ser: Ser) -> &'static str {
    match ser {
        Ser::Json => "JSON",
        Ser::Binary => "binary",
    }
}

fn size_words(bytes: u32) -> String {
    if bytes.is_multiple_of(1024) {
        format!("{} KiB", bytes / 1024)
    } else {
        format!("{bytes} B")
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::GANTRY;
    use super::super::results::tests::{CASE, sends};
    use super::*;

    #[test]
    fn ratios_stand_with_their_goals_and_a_missed_goal_is_told() {
        let mut results = Results::default();
        let small = Case {
            size: 100,
            flush: Flush::Async,
            ser: Ser::Binary,
            ..CASE
        };
        for (case, who, rate) in [
            (CASE, CEILING, 100.0),
            (CASE, GANTRY, 80.0),
            (CASE, "apache", 20.0),
            (small, CEILING, 100.0),
            (small, GANTRY, 50.0),
        ] {
            results.put_sends(sends(case, who, rate));
        }
        results.put_fact(Fact {
            what: "start".into(),
            value: 250.0,
            unit: "ms".into(),
            goal: Some(Goal::AtMost(200.0)),
        });
        let expected = "\
| flush | shape | size | header | gantry: rate | p99 | CPU | apache: rate | p99 | CPU |
|---|---|---|---|---|---|---|---|---|---|
| sync | 64 x 1 | 1 KiB | JSON | 0.80 (≥ 0.75) | 1.25 (≤ 2.00) | 1.25 (≤ 1.50) | 0.20 | 5.00 | 5.00 |

| flush | shape | size | header | gantry: rate | p99 | CPU | apache: rate | p99 | CPU |
|---|---|---|---|---|---|---|---|---|---|
| async | 64 x 1 | 100 B | binary | 0.50 | 2.00 | 2.00 | | | |

| what | measured | goal | |
|---|---|---|---|
| start | 250.0 ms | ≤ 200.0 ms | **missed** |
";
        assert_eq!(markdown(&results), expected);
    }
}

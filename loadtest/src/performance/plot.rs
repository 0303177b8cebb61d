//! The rates that have goals as an SVG of bars: the height is the ratio to the ceiling's rate, the
//! line over each group the goal.

use std::fmt::Write;

use super::results::{CEILING, Goal, Results};
use super::table::flush_word;

const LEFT: f64 = 44.0;
const TOP: f64 = 34.0;
/// Pixels of a ratio of 1, which is the ceiling.
const UNIT: f64 = 240.0;
/// What is higher is cut off; its number stands above it.
const RATIO_MAX: f64 = 1.15;
const BAR: f64 = 34.0;
const GAP: f64 = 26.0;
const COLOURS: [&str; 4] = ["#2f6f9f", "#c9803a", "#6b8f4e", "#8a6fa8"];

/// The whole file.
pub(super) fn svg(results: &Results) -> String {
    let subjects = results.subjects();
    let cases: Vec<_> = results
        .cases()
        .into_iter()
        .filter_map(|case| Some((case, case.rate_goal()?, results.of(&case, CEILING)?)))
        .collect();
    let bars = f64::from(u32::try_from(subjects.len()).unwrap_or(1));
    let group = bars * BAR + GAP;
    let groups = f64::from(u32::try_from(cases.len()).unwrap_or(1));
    let (width, height) = (LEFT + groups * group + GAP, TOP + UNIT * RATIO_MAX + 74.0);
    let floor = TOP + UNIT * RATIO_MAX;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    text(
        &mut out,
        LEFT,
        18.0,
        "start",
        "rate, as a part of the ceiling's; dark lines are goals",
    );
    for tenth in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let y = floor - tenth * UNIT;
        line(&mut out, (LEFT, width - GAP, y), "#cccccc", 1);
        text(&mut out, LEFT - 6.0, y + 4.0, "end", &format!("{tenth:.2}"));
    }
    let mut x = LEFT + GAP / 2.0;
    for (case, goal, ceiling) in &cases {
        for (who, colour) in subjects.iter().zip(COLOURS.iter().cycle()) {
            if let Some(sends) = results.of(case, who) {
                bar(&mut out, x, floor, (sends.rate / ceiling.rate, colour));
            }
            x += BAR;
        }
        let (Goal::AtLeast(wanted) | Goal::AtMost(wanted)) = goal;
        let from = x - bars * BAR - 5.0;
        line(
            &mut out,
            (from, x + 5.0, floor - wanted * UNIT),
            "#222222",
            3,
        );
        let middle = (from + x + 5.0) / 2.0;
        text(
            &mut out,
            middle,
            floor + 18.0,
            "middle",
            &format!("{} x {}", case.conns, case.depth),
        );
        text(
            &mut out,
            middle,
            floor + 34.0,
            "middle",
            flush_word(case.flush),
        );
        x += GAP;
    }
    legend(&mut out, &subjects, floor + 50.0);
    out + "</svg>\n"
}

/// Which colour is whose.
fn legend(out: &mut String, subjects: &[&str], y: f64) {
    let mut x = LEFT;
    for (who, colour) in subjects.iter().zip(COLOURS.iter().cycle()) {
        _ = writeln!(
            out,
            "<rect x=\"{x:.0}\" y=\"{y:.0}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>"
        );
        text(out, x + 18.0, y + 10.0, "start", who);
        x += 100.0;
    }
}

fn bar(out: &mut String, x: f64, floor: f64, (ratio, colour): (f64, &str)) {
    let height = ratio.clamp(0.0, RATIO_MAX) * UNIT;
    let (left, top, width) = (x + 2.0, floor - height, BAR - 4.0);
    _ = writeln!(
        out,
        "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
    );
    text(
        out,
        x + BAR / 2.0,
        top - 4.0,
        "middle",
        &format!("{ratio:.2}"),
    );
}

fn line(out: &mut String, (from, to, y): (f64, f64, f64), colour: &str, thick: u32) {
    _ = writeln!(
        out,
        "<line x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" stroke-width=\"{thick}\"/>"
    );
}

/// `words` are ours, but for names given on the command line.
fn text(out: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::{CASE, sends};
    use super::super::results::{Case, GANTRY};
    use super::*;

    #[test]
    fn each_case_with_a_goal_has_its_bar_its_number_and_its_line() {
        let mut results = Results::default();
        let without_goal = Case { size: 100, ..CASE };
        for case in [CASE, Case { depth: 16, ..CASE }, without_goal] {
            results.put_sends(sends(case, CEILING, 100.0));
            results.put_sends(sends(case, GANTRY, 50.0));
        }
        results.put_sends(sends(CASE, "a<b", 200.0));
        let svg = svg(&results);
        let count = |what: &str| svg.matches(what).count();
        assert_eq!(count("stroke-width=\"3\""), 2, "{svg}");
        assert_eq!(
            (count(">0.50</text>"), count(">2.00</text>")),
            (3, 1),
            "{svg}"
        );
        assert_eq!(count("height=\"120.0\""), 2, "{svg}");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert_eq!((count("a&lt;b"), count("a<b")), (1, 0), "{svg}");
    }
}

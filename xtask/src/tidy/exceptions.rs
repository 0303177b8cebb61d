//! The list of forgiven findings, which may only shrink.
//!
//! A line is `RULE PLACE [SIZE] # REASON`. Invariant: each line forgives something, and a budget's
//! line forgives exactly what is there, so a file that got smaller stays smaller.

use super::Finding;

pub(super) const FILE: &str = "xtask/tidy-exceptions.txt";

#[derive(Debug)]
struct Exception<'a> {
    rule: &'a str,
    place: &'a str,
    size: Option<usize>,
}

/// What remains to be told.
pub(super) fn apply(found: Vec<Finding>, allowed: &str) -> Vec<Finding> {
    let mut remaining = Vec::new();
    let mut exceptions = Vec::new();
    for line in allowed
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
    {
        match parse(line) {
            Some(exception) => exceptions.push((line, exception, false)),
            None => remaining.push(Finding::new(
                "exception",
                FILE,
                format!("unreadable: {line}"),
            )),
        }
    }
    for finding in found {
        let matching = exceptions
            .iter_mut()
            .find(|(_, e, _)| e.rule == finding.rule && e.place == finding.place);
        match matching {
            Some((_, exception, used)) if exception.size == finding.size => *used = true,
            Some((line, exception, used)) if finding.size < exception.size => {
                *used = true;
                let now = finding.size.unwrap_or_default();
                let says = format!("it shrank to {now}, say so in: {line}");
                remaining.push(Finding::new("exception", FILE, says));
            }
            _ => remaining.push(finding),
        }
    }
    let unused = exceptions.iter().filter(|(_, _, used)| !used);
    let unused =
        unused.map(|(line, _, _)| Finding::new("exception", FILE, format!("not needed: {line}")));
    remaining.extend(unused);
    remaining
}

fn parse(line: &str) -> Option<Exception<'_>> {
    let (fields, reason) = line.split_once('#')?;
    let mut fields = fields.split_whitespace();
    let (rule, place) = (fields.next()?, fields.next()?);
    let size = match fields.next() {
        Some(size) => Some(size.parse().ok()?),
        None => None,
    };
    (!reason.trim().is_empty() && fields.next().is_none()).then_some(Exception {
        rule,
        place,
        size,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(size: usize) -> Finding {
        Finding {
            size: Some(size),
            ..Finding::new("file-lines", "a.rs", "too long")
        }
    }

    fn says(found: Vec<Finding>, allowed: &str) -> Vec<String> {
        apply(found, allowed)
            .into_iter()
            .map(|finding| finding.says)
            .collect()
    }

    #[test]
    fn an_exception_forgives_exactly_what_is_there() {
        let line = "file-lines a.rs 500 # a table";
        assert_eq!(says(vec![finding(500)], line), [""; 0]);
        assert_eq!(says(vec![finding(501)], line).len(), 2);
        assert_eq!(
            says(vec![finding(450)], line),
            [format!("it shrank to 450, say so in: {line}")]
        );
        assert_eq!(says(vec![], line), [format!("not needed: {line}")]);
    }

    #[test]
    fn an_exception_without_a_reason_is_refused() {
        let line = "file-lines a.rs 500";
        assert_eq!(says(vec![], line), [format!("unreadable: {line}")]);
    }
}

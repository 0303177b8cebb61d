//! Durations as people write them: `250ms`, `30s`, `1h30m`, `PT30S`, or a bare number of seconds.

use std::time::Duration;

/// `None` for anything else; sums are allowed, fractions and signs are not.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let lower = text.trim().to_ascii_lowercase();
    let mut rest = lower.strip_prefix("pt").unwrap_or(&lower);
    let mut sum = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, next) = after.split_at_checked(letters)?;
        let number: u64 = number.parse().ok()?;
        let ms = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            // Only as the whole.
            "" if digits == lower.len() => 1000,
            _ => return None,
        };
        sum = sum.checked_add(Duration::from_millis(number.checked_mul(ms)?))?;
        rest = next;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, ms) in [
            ("250ms", Some(250)),
            ("30s", Some(30_000)),
            ("1h30m", Some(5_400_000)),
            ("PT30S", Some(30_000)),
            ("5", Some(5000)),
            ("", None),
            ("PT", None),
            ("s", None),
            ("1h30", None),
            ("-1s", None),
            ("1.5s", None),
            ("5 s", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(parse(text), ms.map(Duration::from_millis), "{text}");
        }
    }
}

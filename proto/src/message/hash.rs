//! Java's `String.hashCode`, which RocketMQ stores on disk: tag codes and key hashes depend on it.

/// `s.hashCode()` as Java computes it: over UTF-16 units, in wrapping 32-bit arithmetic.
#[must_use]
pub fn java_string_hash(text: &str) -> i32 {
    extend_java_hash(0, text)
}

/// Continues a hash over more text: `extend(hash(a), b) == hash(a + b)`.
#[must_use]
pub fn extend_java_hash(hash: i32, text: &str) -> i32 {
    if !text.is_ascii() {
        return text
            .encode_utf16()
            .fold(hash, |hash, unit| step(hash, i32::from(unit)));
    }
    // Four units a turn: the multiplications of one turn do not wait for each other.
    let (fours, rest) = text.as_bytes().as_chunks::<4>();
    let hash = fours.iter().fold(hash, |hash, &[a, b, c, d]| {
        let tail = step(
            step(step(i32::from(a), i32::from(b)), i32::from(c)),
            i32::from(d),
        );
        hash.wrapping_mul(31 * 31 * 31 * 31).wrapping_add(tail)
    });
    rest.iter()
        .fold(hash, |hash, &unit| step(hash, i32::from(unit)))
}

/// The code of a `TAGS` value in a consume queue: its hash, sign-extended; 0 without tags.
#[must_use]
pub fn tags_code(tags: Option<&str>) -> i64 {
    tags.map_or(0, |tags| i64::from(java_string_hash(tags)))
}

fn step(hash: i32, unit: i32) -> i32 {
    hash.wrapping_mul(31).wrapping_add(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hashes_equal_those_that_java_prints() {
        for (text, hash) in [
            ("", 0),
            ("TagA", 2_598_919),
            ("hello", 99_162_322),
            ("polygenelubricants", i32::MIN),
            ("日本", 835_047),
            ("😀", 1_772_899),
        ] {
            assert_eq!(java_string_hash(text), hash, "{text}");
        }
    }

    #[test]
    fn a_missing_tag_has_code_zero_and_a_negative_hash_is_sign_extended() {
        assert_eq!(tags_code(None), 0);
        assert_eq!(tags_code(Some("polygenelubricants")), i64::from(i32::MIN));
    }

    proptest! {
        #[test]
        fn unrolled_hash_equals_the_definition(a in ".{0,12}", b in "[ -~]{0,40}") {
            let whole = format!("{a}{b}");
            let plain = whole.encode_utf16().fold(0, |h, u| step(h, i32::from(u)));
            prop_assert_eq!(java_string_hash(&whole), plain);
            prop_assert_eq!(extend_java_hash(java_string_hash(&a), &b), plain);
        }
    }
}

//! Rust text with its comments and literals told apart, as far as the rules need it.
//!
//! Not a parser: it knows comments (nested ones too), texts (raw ones too), characters and
//! lifetimes. Invariant: `code` has exactly the lines and columns of the original.

/// A source file in two layers.
#[derive(Debug)]
pub(super) struct Source {
    /// Everything but comments and the insides of literals, which are blanks.
    pub(super) code: String,
    /// Only comments; the rest is blanks.
    pub(super) comments: String,
    /// How many lines come before the tests at the end.
    pub(super) lines_before_tests: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

impl Source {
    pub(super) fn of(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let mut code = String::with_capacity(text.len());
        let mut comments = String::with_capacity(text.len());
        let mut at = 0;
        while at < chars.len() {
            let (kind, length) = token(&chars[at..], at.checked_sub(1).map(|before| chars[before]));
            for &c in &chars[at..at + length] {
                let blank = if c == '\n' { '\n' } else { ' ' };
                code.push(if kind == Kind::Code { c } else { blank });
                comments.push(if kind == Kind::Comment { c } else { blank });
            }
            at += length;
        }
        let tests = code.lines().position(|line| line.trim() == "#[cfg(test)]");
        let lines_before_tests = tests.unwrap_or_else(|| code.lines().count());
        Self {
            code,
            comments,
            lines_before_tests,
        }
    }
}

/// What begins here, and how many characters it has.
fn token(rest: &[char], before: Option<char>) -> (Kind, usize) {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    match rest {
        ['/', '/', ..] => (Kind::Comment, until(rest, |at| rest[at] == '\n')),
        ['/', '*', ..] => (Kind::Comment, block_comment(rest)),
        ['"', ..] => (Kind::Literal, quoted(rest, '"')),
        ['r', '"' | '#', ..] if !in_word || before == Some('b') => match raw(rest) {
            Some(length) => (Kind::Literal, length),
            None => (Kind::Code, 1),
        },
        ['\'', '\\', ..] => (Kind::Literal, quoted(rest, '\'')),
        ['\'', _, '\'', ..] => (Kind::Literal, 3),
        _ => (Kind::Code, 1),
    }
}

fn until(rest: &[char], end: impl Fn(usize) -> bool) -> usize {
    (0..rest.len()).find(|&at| end(at)).unwrap_or(rest.len())
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `None`: a raw identifier.
fn raw(rest: &[char]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return None;
    }
    let closes = |at: usize| {
        rest[at] == '"' && rest[at + 1..].iter().take_while(|&&c| c == '#').count() >= hashes
    };
    let end = (2 + hashes..rest.len()).find(|&at| closes(at));
    Some(end.map_or(rest.len(), |end| end + 1 + hashes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_told_from_code() {
        for (text, code) in [
            ("a // unsafe\nb", "a          \nb"),
            ("a /* x /* y */ { */ b", "a                   b"),
            ("f(\"{ \\\" }\", '{', '\\'')", "f(        ,    ,     )"),
            ("r#\"a \" b\"# x", "           x"),
            ("fn f<'a>(r#type: &'a str)", "fn f<'a>(r#type: &'a str)"),
        ] {
            assert_eq!(Source::of(text).code, code);
        }
        assert_eq!(Source::of("a // b").comments, "  // b");
    }

    #[test]
    fn the_tests_at_the_end_do_not_count() {
        let source = Source::of("//! x\nfn f() {}\n\n#[cfg(test)]\nmod tests {}\n");
        assert_eq!(source.lines_before_tests, 3);
        assert_eq!(Source::of("a\nb\n").lines_before_tests, 2);
    }
}

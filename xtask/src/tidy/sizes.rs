//! Budgets: lines of a file, lines of a function, fields of a struct.
//!
//! Wire and configuration structs may have any number of fields: others decided how many.

use super::{Finding, Text, lexer::Source};

const FILE_LINES: usize = 400;
const FILE_LINES_HARD: usize = 600;
const FUNCTION_LINES: usize = 70;
const FIELDS: usize = 12;

pub(super) fn check(text: &Text, source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut over = |rule, size: usize, says: String| {
        found.push(Finding {
            size: Some(size),
            ..Finding::new(rule, &text.path, says)
        });
    };
    let lines = source.lines_before_tests;
    if lines > FILE_LINES_HARD {
        over(
            "file-lines-hard",
            lines,
            format!("{lines} lines, at most {FILE_LINES_HARD}"),
        );
    } else if lines > FILE_LINES && !text.is_test() {
        over(
            "file-lines",
            lines,
            format!("{lines} lines before tests, at most {FILE_LINES}"),
        );
    }
    for (name, lines) in functions(&source.code) {
        if lines > FUNCTION_LINES {
            over(
                "fn-lines",
                lines,
                format!("{name} has {lines} lines, at most {FUNCTION_LINES}"),
            );
        }
    }
    if !is_wire_or_config(&text.path) {
        for (name, fields) in structs(&source.code) {
            if fields > FIELDS {
                over(
                    "fields",
                    fields,
                    format!("{name} has {fields} fields, at most {FIELDS}"),
                );
            }
        }
    }
    found
}

fn is_wire_or_config(path: &str) -> bool {
    path.starts_with("proto/") || path.contains("/config") || path.contains("/choices")
}

/// Name and lines of code (no blanks, no comments) of each function that has a body.
fn functions(code: &str) -> Vec<(&str, usize)> {
    let bodies = blocks_after(code, "fn ");
    bodies
        .into_iter()
        .map(|(name, body)| (name, body.lines().filter(|l| !l.trim().is_empty()).count()))
        .collect()
}

/// Name and number of fields of each struct that names its fields.
fn structs(code: &str) -> Vec<(&str, usize)> {
    let bodies = blocks_after(code, "struct ");
    bodies
        .into_iter()
        .map(|(name, body)| (name, fields(body)))
        .collect()
}

/// What stands between the braces of each item with that keyword.
fn blocks_after<'a>(code: &'a str, keyword: &str) -> Vec<(&'a str, &'a str)> {
    let mut blocks = Vec::new();
    for (at, _) in code.match_indices(keyword) {
        let stands_alone = code[..at]
            .chars()
            .next_back()
            .is_none_or(|c| c.is_whitespace() || c == '(');
        let rest = &code[at + keyword.len()..];
        let name_end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let ends_at = rest.find([';', '{']);
        if let (true, 1.., Some(open)) = (stands_alone, name_end, ends_at)
            && rest[open..].starts_with('{')
        {
            blocks.push((&rest[..name_end], block(&rest[open..])));
        }
    }
    blocks
}

/// From an opening brace to the one that closes it, without both.
fn block(code: &str) -> &str {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return &code[1..at];
        }
    }
    &code[1..]
}

fn fields(body: &str) -> usize {
    let mut depth = 0_i32;
    let mut count = 0;
    let mut previous = ' ';
    let mut chars = body.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '>' if previous != '-' => depth -= 1,
            ':' if depth == 0 && previous != ':' && chars.peek() != Some(&':') => count += 1,
            _ => {}
        }
        previous = c;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_at_the_top_level_only() {
        let code = "pub struct A<T: X> {\n #[serde(x)] a: B<C::D, fn(e: E) -> F>,\n pub(crate) b: (G, H),\n}\n\
                    struct T(u8);\nstruct U;";
        assert_eq!(structs(code), [("A", 2)]);
    }

    #[test]
    fn functions_are_measured_without_blank_lines() {
        let code = "fn a();\nfn b() -> [u8; 2] where X: Y {\n\n if c { d }\n e\n}\nlet f: fn (u8);";
        // `[u8; 2]` ends the search for a body: such a function is left to clippy.
        assert_eq!(functions(code), []);
        assert_eq!(functions("fn b() {\n\n if c { d }\n e\n}"), [("b", 2)]);
    }

    #[test]
    fn a_long_file_is_found_and_a_very_long_one_even_among_tests() {
        let sizes = |path: &str, lines: usize| {
            let text = Text {
                path: path.into(),
                text: "a\n".repeat(lines),
            };
            let source = Source::of(&text.text);
            check(&text, &source)
                .into_iter()
                .map(|f| (f.rule, f.size))
                .collect::<Vec<_>>()
        };
        assert_eq!(sizes("a/src/b.rs", 400), []);
        assert_eq!(sizes("a/src/b.rs", 401), [("file-lines", Some(401))]);
        assert_eq!(sizes("a/tests/b.rs", 600), []);
        assert_eq!(sizes("a/tests/b.rs", 601), [("file-lines-hard", Some(601))]);
    }
}

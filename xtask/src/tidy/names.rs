//! Words: headers, names of types and functions, `unsafe`, comments that promise something.

use super::{Finding, Text, lexer::Source};

/// The one file that may map memory.
const UNSAFE_FILE: &str = "store/src/segment/mmap.rs";

/// Parts of a type's name that say nothing.
const EMPTY_WORDS: &[&str] = &[
    "Manager",
    "Service",
    "Processor",
    "Helper",
    "Util",
    "Utils",
    "Common",
    "Base",
    "Impl",
    "Wrapper",
    "Info",
    "Default",
];

pub(super) fn check(text: &Text, source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut tell = |rule, says: String| found.push(Finding::new(rule, &text.path, says));
    if !text.text.starts_with("//!") {
        tell(
            "header",
            "does not open with //! that says what it owns".into(),
        );
    }
    if text.text.starts_with("//! stub") {
        tell("header", "is a stub".into());
    }
    for name in ["struct", "enum", "trait", "type"]
        .iter()
        .flat_map(|kind| named(&source.code, kind))
    {
        if let Some(word) = words(name).find(|word| EMPTY_WORDS.contains(word)) {
            tell("name", format!("{name}: {word} says nothing"));
        }
    }
    for name in named(&source.code, "fn") {
        if name.starts_with("get_") {
            tell(
                "name",
                format!("{name}: say what it does, or name the thing"),
            );
        }
    }
    if text.path != UNSAFE_FILE && has_word(&source.code, "unsafe") {
        tell("unsafe", format!("unsafe is for {UNSAFE_FILE} alone"));
    }
    if source.code.contains("include_str!") && text.text.contains(".rs\")") {
        tell("include", "a test of source text tests nothing".into());
    }
    for line in source.comments.lines() {
        if let Some((_, quirk)) = line.split_once("compat:")
            && !names_a_java_class(quirk)
        {
            tell(
                "compat",
                format!("name the Java class first: {}", line.trim()),
            );
        }
        if has_word(line, "TODO") || has_word(line, "FIXME") {
            tell("todo", format!("do it, or open an issue: {}", line.trim()));
        }
    }
    found
}

/// The names after a keyword.
fn named<'a>(code: &'a str, keyword: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(keyword).filter_map(move |(at, _)| {
        let alone = code[..at]
            .chars()
            .next_back()
            .is_none_or(|c| c.is_whitespace());
        let rest = code[at + keyword.len()..].strip_prefix(' ')?;
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        (alone && end > 0).then_some(&rest[..end])
    })
}

/// `FlushMode` is `Flush` and `Mode`.
fn words(name: &str) -> impl Iterator<Item = &str> {
    let starts = name
        .char_indices()
        .filter(|(_, c)| c.is_uppercase())
        .map(|(at, _)| at);
    let starts: Vec<usize> = starts.collect();
    let ends: Vec<usize> = starts.iter().skip(1).copied().chain([name.len()]).collect();
    starts
        .into_iter()
        .zip(ends)
        .map(|(start, end)| &name[start..end])
}

fn has_word(text: &str, word: &str) -> bool {
    let of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(of_word) && !text[at + word.len()..].starts_with(of_word)
    })
}

/// `DefaultMessageStore#getMessage ...`, with or without the ticks.
fn names_a_java_class(quirk: &str) -> bool {
    let quirk = quirk.trim_start_matches([' ', '`']);
    let class: String = quirk.chars().take_while(|c| c.is_alphanumeric()).collect();
    class.starts_with(char::is_uppercase) && words(&class).count() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(path: &str, text: &str) -> Vec<String> {
        let text = Text {
            path: path.into(),
            text: text.into(),
        };
        let source = Source::of(&text.text);
        check(&text, &source)
            .into_iter()
            .map(|finding| finding.says)
            .collect()
    }

    #[test]
    fn names_that_say_nothing_are_found_as_whole_words() {
        let found = says(
            "a.rs",
            "//! x\nstruct RouteManager;\nstruct Informed;\nfn get_x() {}\nfn getaway() {}",
        );
        assert_eq!(
            found,
            [
                "RouteManager: Manager says nothing",
                "get_x: say what it does, or name the thing"
            ]
        );
    }

    #[test]
    fn unsafe_is_found_in_code_only_and_only_elsewhere() {
        assert_eq!(
            says(
                "a.rs",
                "//! unsafe\n#![deny(unsafe_code)]\nfn f() { \"unsafe\" }"
            ),
            [""; 0]
        );
        assert_eq!(says("a.rs", "//! x\nfn f() { unsafe { } }").len(), 1);
        assert_eq!(says(UNSAFE_FILE, "//! x\nfn f() { unsafe { } }"), [""; 0]);
    }

    #[test]
    fn a_compat_comment_names_its_java_class() {
        assert_eq!(
            says("a.rs", "//! x\n// compat: BrokerStartup does so"),
            [""; 0]
        );
        assert_eq!(
            says("a.rs", "//! x\n// compat: `MixAll#x` does so"),
            [""; 0]
        );
        assert_eq!(says("a.rs", "//! x\n// compat: Java does so").len(), 1);
    }

    #[test]
    fn files_open_with_what_they_own() {
        assert_eq!(says("a.rs", "fn f() {}").len(), 1);
    }
}

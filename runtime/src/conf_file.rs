//! `key=value` files in the syntax of Java's property files, as `broker.conf` is written.
//!
//! Owns: comments (`#`, `!`), the separators `=`, `:` and blank, continued lines, escapes and
//! `\uXXXX`, and where each entry stood. Leaves to `settings`: what a key means, and that of two
//! entries for one key the later wins. Invariant: input is bounded, and no input panics.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

/// More than this is not a configuration file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// One `key=value` and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    /// Trimmed, as Apache trims texts.
    pub value: String,
    pub origin: Origin,
}

/// Where an entry was written: a line of a file, or a flag or variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub name: Arc<str>,
    /// Counted from 1.
    pub line: Option<usize>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl Entry {
    /// An entry that comes from a flag, a variable or a request.
    pub fn new(key: impl Into<String>, value: &str, origin: &str) -> Self {
        let origin = Origin {
            name: origin.into(),
            line: None,
        };
        Self {
            key: key.into(),
            value: value.trim().to_owned(),
            origin,
        }
    }
}

/// Why a file gave no entries.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read {}: {cause}", .path.display())]
    Io { path: PathBuf, cause: io::Error },
    #[error("{} is larger than {FILE_BYTES_MAX} bytes", .path.display())]
    TooLarge { path: PathBuf },
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
}

/// A `\u` that is not followed by four hexadecimal digits, or half a surrogate pair.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {reason}")]
pub struct SyntaxError {
    pub origin: Origin,
    pub reason: &'static str,
}

/// Reads a file. Bytes that are not UTF-8 are taken as Latin-1, which is what Java expects.
///
/// # Errors
/// The file cannot be read, is too large, or holds a broken escape.
pub fn read(path: &Path) -> Result<Vec<Entry>, ReadError> {
    let io_error = |cause| ReadError::Io {
        path: path.to_owned(),
        cause,
    };
    let file = File::open(path).map_err(io_error)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(io_error)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(ReadError::TooLarge {
            path: path.to_owned(),
        });
    }
    let text = String::from_utf8(bytes).unwrap_or_else(|not_utf8| {
        not_utf8
            .as_bytes()
            .iter()
            .copied()
            .map(char::from)
            .collect()
    });
    Ok(parse(&text, &path.display().to_string())?)
}

/// The entries of `text` in their order, duplicates included.
///
/// # Errors
/// A broken `\u` escape.
pub fn parse(text: &str, name: &str) -> Result<Vec<Entry>, SyntaxError> {
    let name: Arc<str> = name.into();
    let mut entries = Vec::new();
    for (line, logical) in logical_lines(text) {
        let origin = Origin {
            name: Arc::clone(&name),
            line: Some(line),
        };
        let (key, value) = split(&logical);
        let decode = |raw| {
            unescape(raw).map_err(|reason| SyntaxError {
                origin: origin.clone(),
                reason,
            })
        };
        let (key, value) = (decode(key)?, decode(value)?.trim().to_owned());
        entries.push(Entry { key, value, origin });
    }
    Ok(entries)
}

/// Joins continued lines; drops blanks and comments. Numbered by their first line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut logical = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.split('\n').enumerate() {
        let line = line.trim_start_matches(is_blank);
        if open.is_none() && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let slashes = line.len() - line.trim_end_matches('\\').len();
        let continued = slashes % 2 == 1;
        let piece = &line[..line.len() - usize::from(continued)];
        let (first, mut joined) = open.take().unwrap_or((index + 1, String::new()));
        joined.push_str(piece);
        if continued {
            open = Some((first, joined));
        } else {
            logical.push((first, joined));
        }
    }
    logical.extend(open);
    logical
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Cuts at the first separator that is not escaped; both halves are still escaped.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|c| {
        let separates = !escaped && (is_blank(c) || c == '=' || c == ':');
        escaped = !escaped && c == '\\';
        separates
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start_matches(is_blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, rest.trim_start_matches(is_blank))
}

fn unescape(raw: &str) -> Result<String, &'static str> {
    if !raw.contains('\\') {
        return Ok(raw.to_owned());
    }
    // Java's escapes are UTF-16 units: a pair of them may make one character.
    let mut units = Vec::with_capacity(raw.len());
    let mut rest = raw.chars();
    while let Some(c) = rest.next() {
        let plain = if c != '\\' {
            c
        } else {
            match rest.next() {
                None => break,
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some('u') => {
                    let hex: Option<u32> =
                        (0..4).try_fold(0, |sum, _| Some(sum * 16 + rest.next()?.to_digit(16)?));
                    let unit = hex.ok_or("\\u needs four hexadecimal digits")?;
                    units.push(u16::try_from(unit).expect("four hexadecimal digits fit 16 bits"));
                    continue;
                }
                Some(other) => other,
            }
        };
        units.extend_from_slice(plain.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16(&units).map_err(|_| "half a surrogate pair")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(usize, String, String)> {
        let entries = parse(text, "t.conf").unwrap();
        entries
            .into_iter()
            .map(|e| (e.origin.line.unwrap(), e.key, e.value))
            .collect()
    }

    fn pair(text: &str) -> (String, String) {
        let (_, key, value) = pairs(text).remove(0);
        (key, value)
    }

    fn owned(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn the_three_separators_mean_the_same() {
        for text in ["a=b c", "a:b c", "a b c", "  a \t= b c  ", "a : b c"] {
            assert_eq!(pair(text), owned("a", "b c"), "{text}");
        }
    }

    #[test]
    fn only_the_first_separator_separates() {
        assert_eq!(
            pair("namesrvAddr=h:9876;i:9876"),
            owned("namesrvAddr", "h:9876;i:9876")
        );
        assert_eq!(pair(r"a\=b\:c=d"), owned("a=b:c", "d"));
    }

    #[test]
    fn comments_and_blank_lines_are_skipped_but_counted() {
        let found = pairs("# c\n\n ! d\r\na=1\rb=2\n");
        assert_eq!(
            found,
            [(4, "a".into(), "1".into()), (5, "b".into(), "2".into())]
        );
    }

    #[test]
    fn a_line_that_ends_in_an_odd_number_of_backslashes_goes_on() {
        let found = pairs("a=1,\\\n   2,\\\n   #3\nb=x\\\\\nc=4");
        assert_eq!(found[0], (1, "a".into(), "1,2,#3".into()));
        assert_eq!(found[1], (4, "b".into(), "x\\".into()));
        assert_eq!(found[2], (5, "c".into(), "4".into()));
    }

    #[test]
    fn escapes_are_decoded() {
        assert_eq!(
            pair(r"a=\tb\u00e9\uD83D\uDE80\q"),
            owned("a", "b\u{e9}\u{1f680}q")
        );
    }

    #[test]
    fn broken_escapes_name_file_and_line() {
        let error = parse("\na=\\u12g4", "b.conf").unwrap_err();
        assert_eq!(
            error.to_string(),
            r"b.conf:2: \u needs four hexadecimal digits"
        );
        let error = parse(r"a=\uD83D", "b.conf").unwrap_err();
        assert_eq!(error.to_string(), "b.conf:1: half a surrogate pair");
    }

    #[test]
    fn keys_without_a_value_and_odd_ends_are_no_trouble() {
        for (text, value) in [
            ("a", ""),
            ("a=", ""),
            ("a\\", ""),
            ("a=b\\", "b"),
            ("a==", "="),
        ] {
            assert_eq!(pair(text), owned("a", value), "{text}");
        }
        assert_eq!(pair("=b"), owned("", "b"));
        assert!(pairs("").is_empty());
    }

    #[test]
    fn a_file_in_latin_1_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"a=caf\xe9").unwrap();
        assert_eq!(read(file.path()).unwrap()[0].value, "caf\u{e9}");
    }

    #[test]
    fn a_missing_or_huge_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let missing = read(&folder.path().join("no.conf")).unwrap_err();
        assert!(missing.to_string().contains("no.conf"), "{missing}");
        let huge = folder.path().join("huge.conf");
        File::create(&huge)
            .unwrap()
            .set_len(FILE_BYTES_MAX + 1)
            .unwrap();
        assert!(matches!(read(&huge), Err(ReadError::TooLarge { .. })));
    }
}

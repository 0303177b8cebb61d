//! Tables of settings: one row per key drives reading, printing, run-time changes and the manual.
//!
//! A configuration struct lists its keys as `Key` rows that point into it. Owns: reading texts into
//! typed fields with an error that names origin, key and value; the warnings for keys that nobody
//! knows. Leaves to the crates: the structs, the rows, and what follows from several keys together.
//! Invariant: a failed read changes nothing.

use std::{fmt::Write, net::IpAddr, ops::RangeInclusive, time::Duration};

use crate::conf_file::{Entry, Origin};

/// One setting of the configuration `C`.
#[derive(Debug)]
pub struct Key<C: 'static> {
    /// As in `broker.conf`.
    pub name: &'static str,
    /// For the manual: what it does, its unit last.
    pub meaning: &'static str,
    /// Limits of a number.
    pub range: Option<RangeInclusive<u64>>,
    /// May it be changed while the process runs?
    pub live: bool,
    /// The field.
    pub at: fn(&mut C) -> &mut dyn Setting,
}

/// Keys that stand together in the manual.
#[derive(Debug)]
pub struct Group<C: 'static> {
    pub title: &'static str,
    pub keys: &'static [Key<C>],
}

/// A key of Apache's for something that does not exist here.
#[derive(Debug)]
pub enum Absent {
    /// Named in a warning; what was asked for is not needed or only slower.
    Ignored {
        key: &'static str,
        reason: &'static str,
    },
    /// Any other value asks for something that must not be left out silently.
    Only {
        key: &'static str,
        value: &'static str,
        reason: &'static str,
    },
}

/// All that one configuration understands.
#[derive(Debug)]
pub struct Table<C: 'static> {
    pub groups: &'static [Group<C>],
    pub absent: &'static [Absent],
}

/// A type that a setting may have.
pub trait Setting {
    /// The text that `read` would turn into the same value.
    fn show(&self) -> String;

    /// Takes a new value.
    ///
    /// # Errors
    /// What would have been accepted, as in "a whole number".
    fn read(&mut self, text: &str) -> Result<(), String>;

    /// The value as a number, if it is one.
    fn number(&self) -> Option<u64> {
        None
    }
}

/// A key that has no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    #[error("{origin}: {key} has no effect: {reason}")]
    Ignored {
        key: &'static str,
        reason: &'static str,
        origin: Origin,
    },
    #[error("{origin}: {key} is not a known key")]
    Unknown { key: String, origin: Origin },
}

/// A value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {key}={value}: expected {expected}")]
pub struct BadValue {
    pub origin: Origin,
    pub key: String,
    pub value: String,
    pub expected: String,
}

/// Why a change at run time is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    #[error("{key} is not a known key")]
    Unknown { key: String },
    #[error("{key} cannot be changed while the process runs")]
    Fixed { key: &'static str },
    #[error("{key}: expected {expected}")]
    Bad { key: &'static str, expected: String },
    /// Each value may be had, but not both.
    #[error("{why}")]
    Contradiction { why: String },
}

impl<C: 'static> Key<C> {
    /// A key that is fixed while the process runs and may have any value of its type.
    #[must_use]
    pub const fn new(
        name: &'static str,
        at: fn(&mut C) -> &mut dyn Setting,
        meaning: &'static str,
    ) -> Self {
        Self {
            name,
            meaning,
            range: None,
            live: false,
            at,
        }
    }

    /// Limits a number.
    #[must_use]
    pub const fn range(mut self, least: u64, most: u64) -> Self {
        self.range = Some(RangeInclusive::new(least, most));
        self
    }

    /// May be changed while the process runs.
    #[must_use]
    pub const fn live(mut self) -> Self {
        self.live = true;
        self
    }

    /// The value that the key has in `config`, as text.
    #[must_use]
    pub fn show(&self, config: &mut C) -> String {
        (self.at)(config).show()
    }

    fn read(&self, config: &mut C, text: &str) -> Result<(), String> {
        let field = (self.at)(config);
        let before = field.show();
        field.read(text)?;
        let (Some(range), Some(number)) = (&self.range, field.number()) else {
            return Ok(());
        };
        if range.contains(&number) {
            return Ok(());
        }
        field.read(&before).expect("a setting reads what it shows");
        Err(format!("{} to {}", range.start(), range.end()))
    }
}

impl<C: 'static> Table<C> {
    /// Whether it is a key that has an effect here.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Whether something is known of a key, if only why it has no effect.
    #[must_use]
    pub fn knows(&self, key: &str) -> bool {
        self.has(key) || self.absent.iter().any(|absent| absent.key() == key)
    }

    /// Reads the entries into `config` in their order: of two for one key the later wins.
    ///
    /// # Errors
    /// The first value that is no value of its key.
    pub fn read(&self, config: &mut C, entries: &[Entry]) -> Result<Vec<Warning>, BadValue> {
        let mut warnings = Vec::new();
        for Entry { key, value, origin } in entries {
            let bad = |expected| BadValue {
                origin: origin.clone(),
                key: key.clone(),
                value: value.clone(),
                expected,
            };
            if let Some(row) = self.find(key) {
                row.read(config, value).map_err(bad)?;
                continue;
            }
            match self.absent.iter().find(|absent| absent.key() == key) {
                None => warnings.push(Warning::Unknown {
                    key: key.clone(),
                    origin: origin.clone(),
                }),
                Some(&Absent::Ignored { key, reason }) => {
                    warnings.push(Warning::Ignored {
                        key,
                        reason,
                        origin: origin.clone(),
                    });
                }
                Some(Absent::Only {
                    value: only,
                    reason,
                    ..
                }) => {
                    if !value.eq_ignore_ascii_case(only) {
                        return Err(bad(format!("{only}, because {reason}")));
                    }
                }
            }
        }
        Ok(warnings)
    }

    /// Changes one key while the process runs.
    ///
    /// # Errors
    /// The key is unknown or fixed, or the value is none of its values; nothing is changed then.
    pub fn set(&self, config: &mut C, key: &str, value: &str) -> Result<(), SetError> {
        let Some(row) = self.find(key) else {
            return Err(SetError::Unknown {
                key: key.to_owned(),
            });
        };
        if !row.live {
            return Err(SetError::Fixed { key: row.name });
        }
        row.read(config, value.trim())
            .map_err(|expected| SetError::Bad {
                key: row.name,
                expected,
            })
    }

    /// `key=value` lines, sorted by key, which [`crate::conf_file`] reads as the same.
    #[must_use]
    pub fn to_properties_text(&self, config: &mut C) -> String {
        let mut rows: Vec<_> = self.keys().collect();
        rows.sort_unstable_by_key(|row| row.name);
        rows.iter().fold(String::new(), |mut text, row| {
            let value = row.show(config);
            let value = value
                .replace('\\', r"\\")
                .replace('\n', r"\n")
                .replace('\r', r"\r");
            writeln!(text, "{}={value}", row.name).expect("a String takes all");
            text
        })
    }

    fn find(&self, key: &str) -> Option<&'static Key<C>> {
        self.keys().find(|row| row.name == key)
    }

    fn keys(&self) -> impl Iterator<Item = &'static Key<C>> {
        self.groups.iter().flat_map(|group| group.keys)
    }
}

impl Absent {
    /// The key.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Ignored { key, .. } | Self::Only { key, .. } => key,
        }
    }
}

impl Setting for bool {
    fn show(&self) -> String {
        self.to_string()
    }

    fn read(&mut self, text: &str) -> Result<(), String> {
        *self = match text {
            _ if text.eq_ignore_ascii_case("true") => true,
            _ if text.eq_ignore_ascii_case("false") => false,
            _ => return Err("true or false".to_owned()),
        };
        Ok(())
    }
}

impl Setting for String {
    fn show(&self) -> String {
        self.clone()
    }

    fn read(&mut self, text: &str) -> Result<(), String> {
        text.clone_into(self);
        Ok(())
    }
}

impl Setting for IpAddr {
    fn show(&self) -> String {
        self.to_string()
    }

    fn read(&mut self, text: &str) -> Result<(), String> {
        *self = text.parse().map_err(|_| "an IP address")?;
        Ok(())
    }
}

/// In whole milliseconds.
impl Setting for Duration {
    fn show(&self) -> String {
        self.as_millis().to_string()
    }

    fn read(&mut self, text: &str) -> Result<(), String> {
        let mut ms = 0_u64;
        ms.read(text)?;
        *self = Self::from_millis(ms);
        Ok(())
    }

    fn number(&self) -> Option<u64> {
        u64::try_from(self.as_millis()).ok()
    }
}

macro_rules! number {
    ($($number:ty),+) => {$(
        impl Setting for $number {
            fn show(&self) -> String {
                self.to_string()
            }

            fn read(&mut self, text: &str) -> Result<(), String> {
                *self = text.parse().map_err(|_| {
                    format!("a whole number of at most {}", Self::MAX)
                })?;
                Ok(())
            }

            fn number(&self) -> Option<u64> {
                u64::try_from(*self).ok()
            }
        }
    )+};
}
number!(u8, u16, u32, u64, usize);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf_file;

    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    struct Config {
        name: String,
        port: u16,
        eager: bool,
    }

    type Row = Key<Config>;

    const TABLE: Table<Config> = Table {
        groups: &[Group {
            title: "All",
            keys: &[
                Row::new("port", |c| &mut c.port, "Where it listens.").range(1, 1000),
                Row::new("name", |c| &mut c.name, "What it is called."),
                Row::new("eager", |c| &mut c.eager, "Whether it hurries.").live(),
            ],
        }],
        absent: &[
            Absent::Ignored {
                key: "old",
                reason: "nobody needs it",
            },
            Absent::Only {
                key: "lock",
                value: "false",
                reason: "there is no door",
            },
        ],
    };

    fn read(text: &str) -> Result<(Config, Vec<String>), BadValue> {
        let mut config = Config::default();
        let entries = conf_file::parse(text, "b.conf").unwrap();
        let warnings = TABLE.read(&mut config, &entries)?;
        Ok((config, warnings.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn the_later_of_two_entries_wins() {
        let (config, _) = read("port=1\nname=n\neager=TRUE\nport=2").unwrap();
        assert_eq!(
            config,
            Config {
                name: "n".into(),
                port: 2,
                eager: true
            }
        );
    }

    #[test]
    fn keys_without_effect_are_warnings_that_name_them() {
        let (_, warnings) = read("old=1\nodd=2\nlock=False").unwrap();
        assert_eq!(
            warnings,
            [
                "b.conf:1: old has no effect: nobody needs it",
                "b.conf:2: odd is not a known key"
            ]
        );
    }

    #[test]
    fn a_bad_value_is_an_error_that_names_line_key_and_value() {
        for (text, told) in [
            (
                "\nport=x",
                "b.conf:2: port=x: expected a whole number of at most 65535",
            ),
            ("port=0", "b.conf:1: port=0: expected 1 to 1000"),
            (
                "port=-1",
                "b.conf:1: port=-1: expected a whole number of at most 65535",
            ),
            (
                "lock=true",
                "b.conf:1: lock=true: expected false, because there is no door",
            ),
            ("eager=yes", "b.conf:1: eager=yes: expected true or false"),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), told);
        }
    }

    #[test]
    fn only_live_keys_change_at_run_time_and_a_refusal_changes_nothing() {
        let mut config = Config {
            port: 7,
            ..Config::default()
        };
        assert_eq!(TABLE.set(&mut config, "eager", "true"), Ok(()));
        let after = config.clone();
        let refusals = [("port", "8"), ("odd", "1"), ("eager", "2")]
            .map(|(key, value)| TABLE.set(&mut config, key, value).unwrap_err().to_string());
        assert_eq!(
            refusals,
            [
                "port cannot be changed while the process runs",
                "odd is not a known key",
                "eager: expected true or false"
            ]
        );
        assert_eq!(config, after);
    }

    #[test]
    fn the_printed_text_is_sorted_and_reads_back() {
        let mut config = Config {
            name: "n".into(),
            port: 2,
            eager: true,
        };
        let text = TABLE.to_properties_text(&mut config);
        assert_eq!(text, "eager=true\nname=n\nport=2\n");
        assert_eq!(read(&text).unwrap().0, config);
    }
}

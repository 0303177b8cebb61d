//! The types of settings that are more than a number, a switch or a text.
//!
//! Invariant: a value of these types is valid; what is not is refused when it is read.

use std::fmt::{self, Display};

use runtime::settings::Setting;

/// When an acknowledgement is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushMode {
    /// After the message is on disk.
    Sync,
    /// After the message is written; the disk follows within the flush interval.
    Async,
}

impl Setting for FlushMode {
    fn show(&self) -> String {
        match self {
            Self::Sync => "SYNC_FLUSH",
            Self::Async => "ASYNC_FLUSH",
        }
        .to_owned()
    }

    fn read(&mut self, text: &str) -> Result<(), String> {
        *self = match text {
            "SYNC_FLUSH" => Self::Sync,
            "ASYNC_FLUSH" => Self::Async,
            _ => return Err("SYNC_FLUSH or ASYNC_FLUSH".to_owned()),
        };
        Ok(())
    }
}

/// A name that also becomes the name of a topic: no separator, no path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Name(String);

impl Name {
    pub(super) const BYTES_MAX: usize = 127;

    /// For names that are known to be legal, and for the empty one that is still to be derived.
    pub(super) fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    pub(super) fn may_contain(c: char) -> bool {
        c.is_ascii_alphanumeric() || "%|-_.".contains(c)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Setting for Name {
    fn show(&self) -> String {
        self.0.clone()
    }

    fn read(&mut self, text: &str) -> Result<(), String> {
        let legal = (1..=Self::BYTES_MAX).contains(&text.len())
            && text.chars().all(Self::may_contain)
            && !text.starts_with('.');
        if !legal {
            return Err("1 to 127 letters, digits and %|-_. that do not begin with .".to_owned());
        }
        text.clone_into(&mut self.0);
        Ok(())
    }
}

/// `host:port` addresses, as texts, because a name may mean another machine tomorrow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Addresses(Vec<String>);

impl Addresses {
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

impl Setting for Addresses {
    fn show(&self) -> String {
        self.0.join(";")
    }

    fn read(&mut self, text: &str) -> Result<(), String> {
        let parts = text
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        let addresses: Vec<String> = parts.map(str::to_owned).collect();
        let legal = |address: &String| {
            let port = address
                .rsplit_once(':')
                .filter(|(host, _)| !host.is_empty());
            port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port != 0))
        };
        if !addresses.iter().all(legal) {
            return Err("HOST:PORT;HOST:PORT...".to_owned());
        }
        self.0 = addresses;
        Ok(())
    }
}

/// Hours of the day, 0 to 23.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours(Vec<u8>);

impl Hours {
    pub(super) fn new(hour: u8) -> Self {
        Self(vec![hour])
    }

    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl Setting for Hours {
    fn show(&self) -> String {
        let hours: Vec<String> = self.0.iter().map(|hour| format!("{hour:02}")).collect();
        hours.join(";")
    }

    fn read(&mut self, text: &str) -> Result<(), String> {
        let hour = |part: &str| part.trim().parse().ok().filter(|hour| *hour < 24);
        let hours: Option<Vec<u8>> = text
            .split(';')
            .filter(|part| !part.trim().is_empty())
            .map(hour)
            .collect();
        self.0 = hours.ok_or("hours from 00 to 23 with ; between them")?;
        Ok(())
    }
}

/// A part of a whole, in steps of a hundredth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio {
    hundredths: u8,
}

impl Ratio {
    pub(super) const fn percent(hundredths: u8) -> Self {
        Self { hundredths }
    }

    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.hundredths) / 100.0
    }
}

impl Setting for Ratio {
    fn show(&self) -> String {
        format!("{}.{:02}", self.hundredths / 100, self.hundredths % 100)
    }

    fn read(&mut self, text: &str) -> Result<(), String> {
        let ratio = text
            .parse::<f64>()
            .ok()
            .filter(|ratio| (0.1..=1.0).contains(ratio));
        let hundredths = ratio.ok_or("0.10 to 1.00")? * 100.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "10 to 100 after the check above"
        )]
        let hundredths = hundredths.round() as u8;
        self.hundredths = hundredths;
        Ok(())
    }
}

//! Message ids: where a message lies (given by the server), and who made it (given by the client).
//!
//! ```text
//! offset id   hex( address 4 or 16 | i32 port | i64 log offset )                    32 or 56 digits
//! unique id   hex( address 4 or 16 | u16 pid | i32 salt | i32 ms in month | u16 n )  32 or 56 digits
//! ```
//!
//! An offset id is what `viewMessage` connects to. A unique id is opaque to everybody but its maker.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::atomic::{AtomicU16, Ordering};

use super::LogOffset;

/// The place of a message: a broker's address and an offset in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OffsetMessageId {
    pub host: SocketAddr,
    pub offset: LogOffset,
}

impl OffsetMessageId {
    /// The same text as `Display`, put together without the machinery of formatting: every answer
    /// to a send carries one.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(if self.host.is_ipv4() { 32 } else { 56 });
        match self.host.ip() {
            IpAddr::V4(ip) => push_hex(&mut text, &ip.octets()),
            IpAddr::V6(ip) => push_hex(&mut text, &ip.octets()),
        }
        push_hex(&mut text, &u32::from(self.host.port()).to_be_bytes());
        push_hex(&mut text, &self.offset.0.to_be_bytes());
        text
    }
}

fn push_hex(to: &mut String, bytes: &[u8]) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xF] {
            to.push(DIGITS.get(usize::from(digit)).copied().unwrap_or('0'));
        }
    }
}

/// A text that is no offset message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message id: expected 32 or 56 hex digits with a port inside")]
pub struct MessageIdError;

impl fmt::Display for OffsetMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = u32::from(self.host.port());
        match self.host.ip() {
            IpAddr::V4(ip) => write!(f, "{:08X}", ip.to_bits())?,
            IpAddr::V6(ip) => write!(f, "{:032X}", ip.to_bits())?,
        }
        write!(f, "{port:08X}{:016X}", self.offset.0)
    }
}

impl FromStr for OffsetMessageId {
    type Err = MessageIdError;

    fn from_str(text: &str) -> Result<Self, MessageIdError> {
        if !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(MessageIdError);
        }
        let address_digits = match text.len() {
            32 => 8,
            56 => 32,
            _ => return Err(MessageIdError),
        };
        let (address, rest) = text
            .split_at_checked(address_digits)
            .ok_or(MessageIdError)?;
        let (port, offset) = rest.split_at_checked(8).ok_or(MessageIdError)?;
        let ip = if address_digits == 8 {
            let bits = u32::from_str_radix(address, 16).map_err(|_| MessageIdError)?;
            IpAddr::from(Ipv4Addr::from_bits(bits))
        } else {
            let bits = u128::from_str_radix(address, 16).map_err(|_| MessageIdError)?;
            IpAddr::from(Ipv6Addr::from_bits(bits))
        };
        let port = u32::from_str_radix(port, 16).map_err(|_| MessageIdError)?;
        let port = u16::try_from(port).map_err(|_| MessageIdError)?;
        let offset = u64::from_str_radix(offset, 16).map_err(|_| MessageIdError)?;
        Ok(Self {
            host: SocketAddr::new(ip, port),
            offset: LogOffset(offset),
        })
    }
}

/// Makes the unique ids of one client process.
#[derive(Debug)]
pub struct UniqueIds {
    prefix: String,
    counter: AtomicU16,
}

impl UniqueIds {
    /// `salt` tells clients of one process apart (Java: the hash of the class loader).
    #[must_use]
    pub fn new(host: IpAddr, pid: u32, salt: u32) -> Self {
        let pid = pid & 0xFFFF;
        let prefix = match host {
            IpAddr::V4(ip) => format!("{:08X}{pid:04X}{salt:08X}", ip.to_bits()),
            IpAddr::V6(ip) => format!("{:032X}{pid:04X}{salt:08X}", ip.to_bits()),
        };
        Self {
            prefix,
            counter: AtomicU16::new(0),
        }
    }

    /// The next id. 65,536 ids within one millisecond are distinct.
    #[must_use]
    pub fn next(&self, now_ms: i64) -> String {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let in_month = u32::try_from(now_ms - month_start_ms(now_ms)).unwrap_or(0);
        format!("{}{in_month:08X}{count:04X}", self.prefix)
    }
}

/// The first millisecond (UTC) of the month that `now_ms` lies in.
#[must_use]
pub fn month_start_ms(now_ms: i64) -> i64 {
    let days = now_ms.div_euclid(DAY_MS);
    let (_, _, day) = civil_date(days);
    (days - (day - 1)) * DAY_MS
}

/// A time (UTC) as the 17 digits `yyyyMMddHHmmssSSS`, which index files are named by.
#[must_use]
pub fn utc_digits(time_ms: i64) -> String {
    let (year, month, day) = civil_date(time_ms.div_euclid(DAY_MS));
    let of_day = time_ms.rem_euclid(DAY_MS);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, ms) = (of_day / 1000 % 60, of_day % 1000);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}{ms:03}")
}

const DAY_MS: i64 = 86_400_000;

/// Year, month and day of a number of days after 1970-01-01.
fn civil_date(days: i64) -> (i64, i64, i64) {
    // Days of a calendar whose years begin in March, so that the leap day is the last one.
    let since_march = days + 719_468;
    let era = since_march.div_euclid(146_097);
    let day_of_era = since_march.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_ids_are_written_and_read() {
        for (host, text) in [
            ("127.0.0.1:10911", "7F00000100002A9F00000000000004D2"),
            (
                "[::1]:10911",
                "0000000000000000000000000000000100002A9F00000000000004D2",
            ),
        ] {
            let id = OffsetMessageId {
                host: host.parse().expect("an address"),
                offset: LogOffset(1234),
            };
            assert_eq!(
                (id.to_string(), id.to_text()),
                (text.to_owned(), text.to_owned())
            );
            assert_eq!(text.parse(), Ok(id));
            assert_eq!(text.to_lowercase().parse(), Ok(id));
        }
    }

    #[test]
    fn texts_that_are_no_offset_id_are_refused() {
        for text in [
            "",
            "7F00000100002A9F00000000000004D",
            "7F00000100002A9F00000000000004DG",
            "7F000001FFFF2A9F00000000000004D2",
            "+F00000100002A9F00000000000004D2",
            "é000000100002A9F00000000000004D",
        ] {
            assert_eq!(
                text.parse::<OffsetMessageId>(),
                Err(MessageIdError),
                "{text}"
            );
        }
    }

    #[test]
    fn unique_ids_have_the_length_that_clients_expect_and_differ() {
        let ids = UniqueIds::new(Ipv4Addr::LOCALHOST.into(), 0x1_2345, 0x18B4_AAC2);
        let now = 1_763_652_000_123;
        let (first, second) = (ids.next(now), ids.next(now));
        assert_eq!(first.len(), 32);
        assert!(first.starts_with("7F000001234518B4AAC2"));
        assert_ne!(first, second);
        let ids = UniqueIds::new(Ipv6Addr::LOCALHOST.into(), 1, 2);
        assert_eq!(ids.next(now).len(), 56);
    }

    #[test]
    fn times_are_written_as_digits() {
        for (time, digits) in [
            (0, "19700101000000000"),
            (1_763_652_000_123, "20251120152000123"),
            (1_709_164_799_999, "20240228235959999"),
            (1_709_164_800_000, "20240229000000000"),
            (-1, "19691231235959999"),
        ] {
            assert_eq!(utc_digits(time), digits);
        }
    }

    #[test]
    fn months_start_where_the_calendar_says() {
        for (now, start) in [
            (0, 0),
            (1_763_652_000_123, 1_761_955_200_000),
            (1_709_164_800_000, 1_706_745_600_000),
            (1_709_251_200_000, 1_709_251_200_000),
            (-1, -2_678_400_000),
        ] {
            assert_eq!(month_start_ms(now), start, "{now}");
        }
    }
}

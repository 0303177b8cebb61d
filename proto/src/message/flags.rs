//! The bits of a message's `sysFlag`.
//!
//! Clients set compression and transaction bits, the server sets the address bits; every other bit
//! is kept as it came.

/// `sysFlag` as stored: a bit set that keeps unknown bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SysFlag(pub i32);

/// The two transaction bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionState {
    None,
    Prepared,
    Commit,
    Rollback,
}

/// How the body of a message is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyCompression {
    None,
    Zlib,
    Lz4,
    Zstd,
    /// A type that no known client writes.
    Unknown(u8),
}

impl SysFlag {
    pub const COMPRESSED: i32 = 0x1;
    pub const PREPARED: i32 = 0x4;
    pub const COMMIT: i32 = 0x8;
    pub const ROLLBACK: i32 = 0xC;
    pub const BORN_HOST_V6: i32 = 0x10;
    pub const STORE_HOST_V6: i32 = 0x20;
    pub const INNER_BATCH: i32 = 0x80;
    /// Ours: the record stands where damage has taken a message away. No client can set it.
    pub const LOST: i32 = 0x4000_0000;

    const TRANSACTION_BITS: i32 = 0xC;
    const COMPRESSION_SHIFT: u32 = 8;

    #[must_use]
    pub fn transaction(self) -> TransactionState {
        match self.0 & Self::TRANSACTION_BITS {
            Self::PREPARED => TransactionState::Prepared,
            Self::COMMIT => TransactionState::Commit,
            Self::ROLLBACK => TransactionState::Rollback,
            _ => TransactionState::None,
        }
    }

    /// The same flag in another transaction state.
    #[must_use]
    pub fn with_transaction(self, state: TransactionState) -> Self {
        let bits = match state {
            TransactionState::None => 0,
            TransactionState::Prepared => Self::PREPARED,
            TransactionState::Commit => Self::COMMIT,
            TransactionState::Rollback => Self::ROLLBACK,
        };
        Self(self.0 & !Self::TRANSACTION_BITS | bits)
    }

    /// The same flag with the address bits of these hosts.
    #[must_use]
    pub fn with_hosts(self, born_is_v6: bool, store_is_v6: bool) -> Self {
        let kept = self.0 & !(Self::BORN_HOST_V6 | Self::STORE_HOST_V6);
        let born = if born_is_v6 { Self::BORN_HOST_V6 } else { 0 };
        let store = if store_is_v6 { Self::STORE_HOST_V6 } else { 0 };
        Self(kept | born | store)
    }

    /// Whether a message with this flag gets a place in its consume queue.
    ///
    /// compat: CommitLogDispatcherBuildConsumeQueue: prepared and rolled-back records live in the log only.
    #[must_use]
    pub fn is_queued(self) -> bool {
        matches!(
            self.transaction(),
            TransactionState::None | TransactionState::Commit
        )
    }

    /// Whether the record only keeps the place of a message that is lost. Nobody gets to see it.
    #[must_use]
    pub fn is_lost(self) -> bool {
        self.0 & Self::LOST != 0
    }

    #[must_use]
    pub fn born_host_is_v6(self) -> bool {
        self.0 & Self::BORN_HOST_V6 != 0
    }

    #[must_use]
    pub fn store_host_is_v6(self) -> bool {
        self.0 & Self::STORE_HOST_V6 != 0
    }

    #[must_use]
    pub fn compression(self) -> BodyCompression {
        if self.0 & Self::COMPRESSED == 0 {
            return BodyCompression::None;
        }
        match (self.0 >> Self::COMPRESSION_SHIFT) & 7 {
            0 | 3 => BodyCompression::Zlib,
            1 => BodyCompression::Lz4,
            2 => BodyCompression::Zstd,
            other => BodyCompression::Unknown(other.to_le_bytes()[0]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transaction_state_changes_only_its_two_bits() {
        let flag = SysFlag(0x7F3);
        for state in [
            TransactionState::None,
            TransactionState::Prepared,
            TransactionState::Commit,
            TransactionState::Rollback,
        ] {
            let changed = flag.with_transaction(state);
            assert_eq!(changed.transaction(), state);
            assert_eq!(changed.0 & !0xC, flag.0 & !0xC);
        }
    }

    #[test]
    fn only_plain_and_committed_messages_are_queued() {
        let queued = |bits| SysFlag(bits).is_queued();
        assert_eq!(
            [queued(0), queued(4), queued(8), queued(12)],
            [true, false, true, false]
        );
    }

    #[test]
    fn compression_is_read_from_bits_eight_to_ten_when_the_body_is_compressed() {
        let of = |bits| SysFlag(bits).compression();
        assert_eq!(of(0x200), BodyCompression::None);
        assert_eq!(of(0x001), BodyCompression::Zlib);
        assert_eq!(of(0x101), BodyCompression::Lz4);
        assert_eq!(of(0x201), BodyCompression::Zstd);
        assert_eq!(of(0x301), BodyCompression::Zlib);
        assert_eq!(of(0x701), BodyCompression::Unknown(7));
    }

    #[test]
    fn hosts_set_and_clear_the_address_bits() {
        assert_eq!(SysFlag(0x31).with_hosts(false, false), SysFlag(0x01));
        assert_eq!(SysFlag(0x01).with_hosts(true, false), SysFlag(0x11));
        assert_eq!(SysFlag(0x01).with_hosts(false, true), SysFlag(0x21));
    }
}

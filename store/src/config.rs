//! What a store is told when it opens.

use std::path::PathBuf;

/// Sizes, limits and rules of one store. The names of the broker's settings are in the comments.
#[derive(Clone, Debug)]
pub struct Config {
    /// `storePathRootDir`
    pub root: PathBuf,
    /// `storePathCommitLog`; usually `root/commitlog`.
    pub commit_log_dir: PathBuf,
    /// `mappedFileSizeCommitLog`: the size of each commit log file.
    pub segment_bytes: u64,
    /// `mappedFileSizeConsumeQueue`, rounded up to whole units.
    pub queue_file_bytes: u64,
    /// `maxHashSlotNum`
    pub index_slots: u32,
    /// `maxIndexNum`
    pub index_entries: u32,
    /// `maxMessageSize`: the largest body.
    pub max_message_bytes: u32,
    /// `enabledAppendPropCRC`: whether each record carries a CRC over all of its bytes.
    pub record_crc: bool,
    /// How much of the newest log stays in memory for readers; see [`crate::Store::trim_cache`].
    pub cache_bytes: u64,
    /// Whether room ahead of the writer is filled with zeros when there is time, so that a flush
    /// changes no metadata: for those who wait for each flush. Else it is only reserved.
    pub zero_fill: bool,
    /// Bytes that may wait for the writer; more are refused.
    pub staging_bytes_max: usize,
    pub retention: Retention,
    /// `--salvage`: whether a damaged log is made readable instead of refused.
    pub salvage: bool,
}

/// When commit log files are removed.
#[derive(Clone, Debug)]
pub struct Retention {
    /// `deleteWhen`: hours of the day (UTC) in which expired files are removed.
    pub delete_hours: Vec<u8>,
    /// `fileReservedTime`
    pub reserved_hours: u32,
    /// `diskMaxUsedSpaceRatio`, as a ratio: above it expired files are removed at any hour.
    pub used_ratio_max: f64,
    /// `diskSpaceCleanForciblyRatio`: above it the oldest files go, expired or not.
    pub used_ratio_force: f64,
    /// `diskSpaceWarningLevelRatio`: above it appends are refused.
    pub used_ratio_full: f64,
}

/// What [`Config::staging_bytes_max`] is unless a test says otherwise.
pub const STAGING_BYTES_MAX: usize = 64 << 20;

impl Config {
    /// RocketMQ's sizes and rules in a folder.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self {
            commit_log_dir: root.join("commitlog"),
            root,
            segment_bytes: 1 << 30,
            queue_file_bytes: 300_000 * 20,
            index_slots: 5_000_000,
            index_entries: 20_000_000,
            max_message_bytes: 4 << 20,
            record_crc: true,
            cache_bytes: u64::MAX,
            zero_fill: true,
            staging_bytes_max: STAGING_BYTES_MAX,
            retention: Retention {
                delete_hours: vec![4],
                reserved_hours: 72,
                used_ratio_max: 0.75,
                used_ratio_force: 0.85,
                used_ratio_full: 0.90,
            },
            salvage: false,
        }
    }
}

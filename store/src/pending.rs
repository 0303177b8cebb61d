//! Temporary.
use bytes::Bytes;
use proto::message::LogOffset;
pub struct DiskUse {
    pub used_ratio: f64,
    pub total_bytes: u64,
    pub free_bytes: u64,
}
pub struct Queried {
    pub records: Vec<Bytes>,
    pub index_last_ms: i64,
    pub index_last_offset: LogOffset,
}
pub struct Removed {
    pub log_files: usize,
}
impl crate::Store {
    pub fn delete_topic(&self, _: &str) -> std::io::Result<()> {
        Ok(())
    }
    pub fn disk_use(&self) -> DiskUse {
        DiskUse {
            used_ratio: 0.1,
            total_bytes: 1,
            free_bytes: 1,
        }
    }
    pub fn query_by_key(
        &self,
        _: &str,
        _: &str,
        _: usize,
        _: std::ops::RangeInclusive<i64>,
    ) -> Result<Queried, crate::ReadError> {
        Ok(Queried {
            records: vec![],
            index_last_ms: 0,
            index_last_offset: LogOffset(0),
        })
    }
    pub fn check_disk(&self) -> std::io::Result<()> {
        Ok(())
    }
    pub fn expire_once(&self, _: i64) -> std::io::Result<Removed> {
        Ok(Removed { log_files: 0 })
    }
}

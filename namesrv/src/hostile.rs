//! What arbitrary bytes are put to, and what must hold whatever they are: the fuzz targets of this
//! crate, for `fuzz/`. Its tests run them on the committed seeds.

use proto::json;
use runtime::conf_file;

use crate::config::Config;
use crate::kv::Settings;
use crate::registration::{Registration, TOPICS_MAX};

/// The body of a registration, packed or not.
pub fn registration(data: &[u8]) {
    if let Ok(read) = Registration::decode(data, 0, 4 << 20) {
        assert!(read.topics.len() <= TOPICS_MAX);
    }
}

/// The file of the key-value settings: what is read is read again when it is written.
pub fn kv_file(data: &[u8]) {
    if let Ok(settings) = json::read::<Settings>(data) {
        assert_eq!(json::read(&json::write(&settings)), Ok(settings));
    }
}

/// `namesrv.conf`: refused, or a configuration that shows itself.
pub fn namesrv_conf(data: &[u8]) {
    let Ok(Ok(entries)) = str::from_utf8(data).map(|text| conf_file::parse(text, "seed")) else {
        return;
    };
    if let Ok((mut config, _)) = Config::from_entries(&entries) {
        let text = config.to_properties_text();
        let shown = conf_file::parse(&text, "shown").expect("what is shown can be read");
        let (again, _) = Config::from_entries(&shown).expect("and is a configuration");
        assert_eq!(again.to_properties_text(), text);
        for entry in &entries {
            drop(config.set(&entry.key, &entry.value));
        }
    }
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay;

    #[test]
    fn seeds_of_the_fuzz_targets_find_nothing() {
        replay::every_seed("registration", super::registration);
        replay::every_seed("kv_file", super::kv_file);
        replay::every_seed("namesrv_conf", super::namesrv_conf);
    }
}

//! What arbitrary bytes are put to, and what must hold whatever they are: the fuzz targets of this
//! crate, for `fuzz/`. Its tests run them on the committed seeds.

use proto::message::Properties;
use proto::remoting::config::{GroupConfig, GroupTable, TopicConfig, TopicTable};
use runtime::conf_file;

use crate::Config;
use crate::client_properties::{ClientProperties, OURS};
use crate::config_table::Change;
use crate::state_file;

/// A message's properties as a client wrote them: what is stored of them says nothing that only a
/// broker may say, and is what is stored when it is sent again.
pub fn client_properties(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let read = ClientProperties::read(text, 160);
    if read.refused.is_some() {
        return;
    }
    let kept = read.kept.concat();
    let stored = Properties::new(&kept);
    for name in OURS {
        assert_eq!(stored.find(name), None, "{name} of a client is stored");
    }
    for (name, value) in stored.iter() {
        let given = Properties::new(text);
        assert!(
            given.iter().any(|pair| pair == (name, value)),
            "{name} is new"
        );
    }
    let again = ClientProperties::read(&kept, 160);
    assert_eq!(again.kept.concat(), kept);
    let said = |read: &ClientProperties<'_>| {
        let texts = [read.tags, read.keys, read.unique_key];
        (
            texts.map(|text| text.map(str::to_owned)),
            read.waits,
            read.refused,
        )
    };
    assert_eq!(said(&again), said(&read));
    let mut parts = read.kept.clone();
    parts.push("TRACE_ON\u{1}true\u{2}");
    assert_eq!(
        Properties::new(&parts.concat()).find("TRACE_ON"),
        Some("true")
    );
}

/// `broker.conf`: refused, or a configuration that comes back from its own text.
pub fn broker_conf(data: &[u8]) {
    let Ok(entries) = str::from_utf8(data).map(|text| conf_file::parse(text, "seed")) else {
        return;
    };
    let Ok(entries) = entries else { return };
    let Ok((config, _)) = Config::from_entries(&entries) else {
        return;
    };
    let text = config.to_properties_text();
    let shown = conf_file::parse(&text, "shown").expect("what is shown can be read");
    let (again, _) = Config::from_entries(&shown).expect("and is a configuration");
    assert_eq!(again.to_properties_text(), text);
    let mut running = config;
    for entry in &entries {
        // Most are refused while it runs; what is taken is shown.
        drop(running.set(&entry.key, &entry.value));
    }
}

/// The files of topics, groups and offsets: whole, or refused, or cut at a line. What was read is
/// read again when it is written.
pub fn state_files(data: &[u8]) {
    state_file::use_bytes::<TopicTable, Change<TopicConfig>>(data);
    state_file::use_bytes::<GroupTable, Change<GroupConfig>>(data);
    crate::offsets::use_bytes(data);
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay;

    #[test]
    fn seeds_of_the_fuzz_targets_find_nothing() {
        replay::every_seed("client_properties", super::client_properties);
        replay::every_seed("broker_conf", super::broker_conf);
        replay::every_seed("state_files", super::state_files);
    }
}

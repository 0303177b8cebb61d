//! The consumer groups of this broker: file `subscriptionGroup.json`, and the system's groups.

use std::collections::BTreeMap;
use std::path::Path;

use proto::names;
use proto::remoting::config::{DataVersion, GroupConfig, GroupTable};
use runtime::state_file::LoadError;

use crate::config_table::{ConfigTable, Row};

pub(crate) type Groups = ConfigTable<GroupConfig>;

impl Row for GroupConfig {
    type File = GroupTable;
    const KIND: &'static str = "group";

    fn name(&self) -> &str {
        &self.group_name
    }

    fn into_file(version: DataVersion, rows: BTreeMap<String, Self>) -> GroupTable {
        let subscription_group_table = rows;
        GroupTable {
            data_version: version,
            subscription_group_table,
            ..GroupTable::default()
        }
    }

    fn from_file(file: GroupTable) -> (DataVersion, BTreeMap<String, Self>) {
        (file.data_version, file.subscription_group_table)
    }
}

/// Loads the groups and adds the system's that are missing.
///
/// # Errors
/// When the files are there but no copy is whole, or the new rows cannot be written.
pub(crate) fn load(config_dir: &Path, now_ms: i64) -> Result<Groups, LoadError> {
    let path = config_dir.join("subscriptionGroup.json");
    let groups = Groups::load(path.clone())?;
    let missing = names::SYSTEM_GROUPS
        .iter()
        .filter(|name| groups.find(name).is_none());
    let missing: Vec<_> = missing.map(|name| GroupConfig::new(name)).collect();
    groups
        .add_system(missing, now_ms)
        .map_err(|source| LoadError::Io { path, source })?;
    Ok(groups)
}

//! Reading the key-value settings, and the name server's own configuration while it runs.

use proto::json;
use proto::remoting::naming::{KvKey, KvValue};
use proto::remoting::stats::KvTable;
use proto::remoting::{Reply, ResponseCode};
use runtime::conf_file;

use crate::server::NameServer;

/// compat: NamesrvConfig: the keys of its default `configBlackList`.
const FORBIDDEN: [&str; 3] = ["configBlackList", "configStorePath", "kvConfigPath"];

impl NameServer {
    pub(super) fn kv_value(&self, of: &KvKey) -> Reply {
        let (namespace, key) = (&*of.namespace, &*of.key);
        let value = self.kv.read(|kv| kv.value(namespace, key).map(Into::into));
        if value.is_none() {
            let told = format!("No config item, Namespace: {namespace} Key: {key}");
            return Reply::refused(ResponseCode::QUERY_NOT_FOUND, told);
        }
        Reply::ok().with(KvValue { value })
    }

    pub(super) fn kv_list(&self, namespace: &str) -> Reply {
        match self.kv.read(|kv| kv.namespace(namespace).cloned()) {
            Some(table) => Reply::ok().body(json::write(&KvTable { table })),
            None => {
                let told = format!("No config item, Namespace: {namespace}");
                Reply::refused(ResponseCode::QUERY_NOT_FOUND, told)
            }
        }
    }

    pub(super) fn config_text(&self) -> Reply {
        let text = self.config.read().to_properties_text();
        Reply::ok().body(text.into())
    }

    /// Changes all that `text` says, or nothing.
    pub(super) fn update_config(&self, text: &[u8]) -> Reply {
        let illegal = |told: String| Reply::refused(ResponseCode::INVALID_PARAMETER, told);
        let Ok(text) = str::from_utf8(text) else {
            return illegal("not utf-8".to_owned());
        };
        let entries = match conf_file::parse(text, "request") {
            Ok(entries) => entries,
            Err(error) => return illegal(error.to_string()),
        };
        if entries.iter().any(|entry| FORBIDDEN.contains(&&*entry.key)) {
            let told = "Can not update config in black list.";
            return Reply::refused(ResponseCode::NO_PERMISSION, told);
        }
        let mut config = self.config.write();
        let mut changed = config.clone();
        for entry in &entries {
            if let Err(error) = changed.set(&entry.key, &entry.value) {
                return illegal(error.to_string());
            }
        }
        *config = changed;
        for entry in &entries {
            tracing::info!(
                key = entry.key,
                value = entry.value,
                "configuration changed"
            );
        }
        Reply::ok()
    }
}

//! The broker itself as operators see it: settings and runtime figures.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use proto::remoting::config::ConfigVersion;
use proto::remoting::stats::KvTable;
use proto::remoting::{Reply, ResponseCode};
use runtime::clock;
use runtime::conf_file;

use crate::broker::Broker;
use crate::refusal::Refusal;

pub(super) fn config(broker: &Broker) -> Reply {
    let text = broker.config().to_properties_text();
    let version =
        String::from_utf8_lossy(&proto::json::write(&broker.state.topics.version())).into_owned();
    Reply::ok()
        .with(ConfigVersion {
            version: version.into(),
        })
        .body(text.into())
}

pub(super) fn update_config(broker: &Broker, text: &Bytes) -> Result<Reply, Refusal> {
    let illegal = |text: String| Refusal::new(ResponseCode::INVALID_PARAMETER, text);
    let text = str::from_utf8(text).map_err(|_| illegal("the settings are not text".into()))?;
    let entries =
        conf_file::parse(text, "the request").map_err(|error| illegal(error.to_string()))?;
    // compat: AdminBrokerProcessor#updateBrokerConfig words this refusal.
    if entries
        .iter()
        .any(|e| ["brokerConfigPath", "configBlackList", "rocketmqHome"].contains(&&*e.key))
    {
        let text = "Can not update config in black list.";
        return Err(Refusal::new(ResponseCode::NO_PERMISSION, text));
    }
    broker.change_config(|config| {
        for entry in &entries {
            config
                .set(&entry.key, &entry.value)
                .map_err(|error| illegal(error.to_string()))?;
        }
        Ok::<(), Refusal>(())
    })?;
    for entry in &entries {
        tracing::info!(key = %entry.key, value = %entry.value, "setting changed by request");
    }
    Ok(Reply::ok())
}

/// compat: AdminBrokerProcessor#prepareRuntimeInfo. Tools parse these texts; both spellings of
/// `Transferred` are there because 4.x tools read the one and 5.x tools the other.
pub(super) fn runtime(broker: &Broker) -> Reply {
    let mut table = BTreeMap::new();
    let mut put = |key: &str, value: String| drop(table.insert(key.to_owned(), value));
    store_figures(broker, &mut put);
    traffic_figures(broker, &mut put);
    put("brokerVersion", proto::remoting::VERSION.to_string());
    // compat: MQVersion: the name of the protocol version, which tools show and compare.
    put("brokerVersionDesc", "V5_3_3".into());
    put("brokerActive", "true".into());
    let up_ms = (clock::now_ms() - broker.signature.started_ms).max(0);
    let (seconds, minutes) = (up_ms / 1000 % 60, up_ms / 60_000 % 60);
    let (hours, days) = (up_ms / 3_600_000 % 24, up_ms / 86_400_000);
    put(
        "runtime",
        format!("[ {days} days, {hours} hours, {minutes} minutes, {seconds} seconds ]"),
    );
    put("bootTimestamp", broker.signature.started_ms.to_string());
    put("startAcceptSendRequestTimeStamp", "0".into());
    for pool in ["send", "pull", "query"] {
        // Requests are answered as they come; there are no pools to queue in.
        for (what, value) in [("Size", "0"), ("Capacity", "0"), ("HeadWaitTimeMills", "0")] {
            put(&format!("{pool}ThreadPoolQueue{what}"), value.into());
        }
    }
    Reply::ok().body(proto::json::write(&KvTable { table }))
}

fn store_figures(broker: &Broker, put: &mut impl FnMut(&str, String)) {
    let store = &broker.store;
    let end = store.appended_to().0;
    // What follows the end may have passed it since it was looked at.
    let unflushed = end.saturating_sub(store.durable_to().0);
    let undispatched = end.saturating_sub(store.dispatched_to().0);
    put("commitLogMinOffset", store.log_start().0.to_string());
    put("commitLogMaxOffset", end.to_string());
    put("remainHowManyDataToFlush", format!("{unflushed} B"));
    put("remainHowManyDataToCommit", "0 B".into());
    put("dispatchBehindBytes", undispatched.to_string());
    put("dispatchMaxBuffer", "0".into());
    put(
        "earliestMessageTimeStamp",
        store.earliest_time().unwrap_or(-1).to_string(),
    );
    if let Ok(disk) = store.check_disk() {
        put("commitLogDiskRatio", disk.log.to_string());
        put(
            &format!("commitLogDiskRatio_{}", broker.config().files.log),
            disk.log.to_string(),
        );
        put("consumeQueueDiskRatio", disk.queues.to_string());
        let (total, free) = (
            size(disk.log_space.total_bytes),
            size(disk.log_space.free_bytes),
        );
        put(
            "commitLogDirCapacity",
            format!("Total : {total}, Free : {free}."),
        );
    }
    put("pageCacheLockTimeMills", "0".into());
    put("remainTransientStoreBufferNumbs", "0".into());
}

fn traffic_figures(broker: &Broker, put: &mut impl FnMut(&str, String)) {
    let figures = &broker.figures;
    let counts = figures.counts();
    let bytes = figures.put_bytes.load(Relaxed);
    put("putTps", figures.rates(|c| c.put));
    put("getFoundTps", figures.rates(|c| c.found));
    put("getMissTps", figures.rates(|c| c.missed));
    put("getTotalTps", figures.rates(|c| c.found + c.missed));
    put("getTransferredTps", figures.rates(|c| c.sent));
    put("getTransferedTps", figures.rates(|c| c.sent));
    put("putMessageTimesTotal", counts.put.to_string());
    put("putMessageSizeTotal", bytes.to_string());
    put(
        "putMessageFailedTimes",
        figures.put_failed.load(Relaxed).to_string(),
    );
    put(
        "putMessageAverageSize",
        bytes.checked_div(counts.put).unwrap_or(0).to_string(),
    );
    put("putMessageDistributeTime", "[<=0ms]:0 ".into());
    put("putMessageEntireTimeMax", "0".into());
    put("getMessageEntireTimeMax", "0".into());
    put("msgPutTotalTodayNow", counts.put.to_string());
    put("msgGetTotalTodayNow", counts.sent.to_string());
    for morning in ["Yesterday", "Today"] {
        put(&format!("msgPutTotal{morning}Morning"), "0".into());
        put(&format!("msgGetTotal{morning}Morning"), "0".into());
    }
}

/// compat: MixAll#humanReadableByteCount
fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 || unit == "TiB" {
            return if unit == "B" {
                format!("{bytes} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1024.0;
    }
    String::new()
}

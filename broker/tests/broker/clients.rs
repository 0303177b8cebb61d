//! Clients that come, stay and leave, and the queues that they lock.

use proto::json;
use proto::remoting::clients::{
    ConnectedClient, Connections, ConsumerIds, Heartbeat, HeartbeatTaken, Locked, MessageQueue,
    ProducerData, ProducerGroup, QueueLocks, RunningState, UnregisterClient,
};
use proto::remoting::config::{DeleteGroup, GroupConfig, GroupOf, TopicConfig};
use proto::remoting::pull::Pull;
use proto::remoting::{Reply, Request, ResponseCode};

use crate::desk::{Client, start, start_with};
use crate::tools::topic_config;
use crate::words::{consumer, group, pull};

async fn beat(client: &Client, id: &str) {
    let taken = HeartbeatTaken {
        v2_supported: true,
        subscription_changed: true,
    };
    let reply = client
        .ask(Request::Heartbeat(consumer(id, "g", "t", "*")))
        .await;
    assert_eq!(crate::words::fields::<HeartbeatTaken>(&reply), taken);
}

async fn members(client: &Client) -> Vec<String> {
    let reply = client.ask(Request::ConsumerIds(group("g"))).await;
    let ids: ConsumerIds = json::read(&reply.whole_body()).unwrap();
    ids.consumer_id_list
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_heartbeat_of_a_group_makes_it_and_its_retry_topic() {
    let desk = start().await;
    let client = desk.client();
    beat(&client, "c").await;
    let retry = topic_config(&client, "%RETRY%g").await;
    assert_eq!(retry, TopicConfig::new("%RETRY%g", 1, 6));
    let reply = client
        .ask(Request::GroupConfig(GroupOf { group: "g".into() }))
        .await;
    let made: GroupConfig = json::read(&reply.whole_body()).unwrap();
    assert_eq!(made, GroupConfig::new("g"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_may_not_be_made_is_left_out_of_a_heartbeat() {
    let desk = start_with(&[("autoCreateSubscriptionGroup", "false")]).await;
    let client = desk.client();
    beat(&client, "c").await;
    let text = "no consumer for this group, g";
    let nobody = Reply::refused(ResponseCode::SYSTEM_ERROR, text);
    assert_eq!(client.ask(Request::ConsumerIds(group("g"))).await, nobody);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_group_are_told_who_joins_leaves_and_is_gone() {
    let desk = start().await;
    let (mut stays, mut leaves, mut is_gone) =
        (desk.client(), desk.dial().await, desk.dial().await);
    let changed = Request::ConsumersChanged(group("g"));
    beat(&stays, "a").await;
    assert_eq!(stays.hears().await, changed);

    beat(&leaves, "b").await;
    assert_eq!(stays.hears().await, changed);
    assert_eq!(leaves.hears().await, changed);
    beat(&is_gone, "c").await;
    assert_eq!(stays.hears().await, changed);
    assert_eq!(leaves.hears().await, changed);
    assert_eq!(is_gone.hears().await, changed);
    assert_eq!(members(&stays).await, ["a", "b", "c"]);

    beat(&leaves, "b").await;
    assert!(
        stays.hears_nothing(),
        "a repeated heartbeat changes nothing"
    );

    is_gone.peer.close();
    assert_eq!(stays.hears().await, changed);
    assert_eq!(leaves.hears().await, changed);
    assert_eq!(members(&stays).await, ["a", "b"]);

    let leaving = UnregisterClient {
        client_id: "b".into(),
        producer_group: None,
        consumer_group: Some("g".into()),
    };
    let reply = leaves.ask(Request::UnregisterClient(leaving)).await;
    assert_eq!(reply.code, ResponseCode::SUCCESS);
    assert_eq!(stays.hears().await, changed);
    assert_eq!(members(&stays).await, ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_see_who_is_connected() {
    let desk = start().await;
    let client = desk.client();
    let mut both = consumer("c", "g", "t", "A");
    both.producer_data_set = vec![ProducerData {
        group_name: "p".into(),
    }];
    client
        .ask(Request::Heartbeat(Heartbeat::clone(&both)))
        .await;
    let connected = ConnectedClient {
        client_id: "c".into(),
        client_addr: "127.0.0.1:4321".into(),
        language: "RUST".into(),
        version: proto::remoting::VERSION,
    };

    let reply = client.ask(Request::ConsumerConnections(group("g"))).await;
    let seen: Connections = json::read(&reply.whole_body()).unwrap();
    let data = &both.consumer_data_set[0];
    let subscription = data.subscription_data_set[0].clone();
    let consumers = Connections {
        connection_set: vec![connected.clone()],
        consume_type: Some(data.consume_type.clone()),
        message_model: Some(data.message_model.clone()),
        consume_from_where: Some(data.consume_from_where.clone()),
        subscription_table: Some([("t".to_owned(), subscription)].into()),
    };
    assert_eq!(seen, consumers);

    let producers = |name: &str| Request::ProducerConnections(ProducerGroup { group: name.into() });
    let reply = client.ask(producers("p")).await;
    let seen: Connections = json::read(&reply.whole_body()).unwrap();
    let wanted = Connections {
        connection_set: vec![connected],
        ..Connections::default()
    };
    assert_eq!(seen, wanted);

    let text = "the producer group[q] not exist";
    let none = Reply::refused(ResponseCode::SYSTEM_ERROR, text);
    assert_eq!(client.ask(producers("q")).await, none);
    let text = "the consumer group[q] not online";
    let none = Reply::refused(ResponseCode::CONSUMER_NOT_ONLINE, text);
    let asked = Request::ConsumerConnections(group("q"));
    assert_eq!(client.ask(asked).await, none);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_locked_for_one_client_until_that_client_gives_it_up() {
    let desk = start().await;
    let client = desk.client();
    let queue = |queue_id| MessageQueue {
        broker_name: "b".into(),
        queue_id,
        topic: "t".into(),
    };
    let wants = |id: &str, ids: &[i32]| QueueLocks {
        consumer_group: "g".into(),
        client_id: id.into(),
        only_this_broker: false,
        mq_set: ids.iter().map(|id| queue(*id)).collect(),
    };
    let lock = async |id: &str, ids: &[i32]| {
        let reply = client.ask(Request::LockQueues(wants(id, ids))).await;
        json::read::<Locked>(&reply.whole_body()).unwrap().queues
    };
    let unlock = async |id: &str, ids: &[i32]| {
        let reply = client.ask(Request::UnlockQueues(wants(id, ids))).await;
        assert_eq!(reply, Reply::ok());
    };
    assert_eq!(lock("one", &[0, 1]).await, [queue(0), queue(1)]);
    assert_eq!(lock("two", &[1, 2]).await, [queue(2)]);
    unlock("two", &[1]).await;
    assert_eq!(lock("two", &[1]).await, [], "only the owner gives up");
    unlock("one", &[1]).await;
    assert_eq!(lock("two", &[1]).await, [queue(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_to_a_client_is_passed_on_and_its_answer_handed_back() {
    let desk = start().await;
    let mut client = desk.dial().await;
    beat(&client, "c").await;
    client.hears().await;
    let asks = |client_id: &str| {
        Request::RunningState(RunningState {
            group: "g".into(),
            client_id: client_id.into(),
            jstack: Some(false),
        })
    };
    let tool = desk.client();
    assert_eq!(tool.ask(asks("c")).await, Reply::ok());
    assert_eq!(client.hears().await, asks("c"));
    let text = "The Consumer <g> <d> not online";
    let refused = Reply::refused(ResponseCode::SYSTEM_ERROR, text);
    assert_eq!(tool.ask(asks("d")).await, refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_may_not_consume_is_refused_and_one_that_is_deleted_forgets_its_offsets() {
    let desk = start().await;
    let client = desk.client();
    client.create_topic("t", 1).await;
    beat(&client, "c").await;
    client.commit("g", "t", 0, 3).await;
    let closed = GroupConfig {
        consume_enable: false,
        ..GroupConfig::new("g")
    };
    assert_eq!(client.ask(Request::UpdateGroup(closed)).await, Reply::ok());
    let of_g = Pull {
        group: "g".into(),
        ..pull("t", 0, 0, "*")
    };
    let text = "subscription group no permission, g";
    let refused = Reply::refused(ResponseCode::NO_PERMISSION, text);
    assert_eq!(client.ask(Request::Pull(of_g)).await, refused);

    let delete = DeleteGroup {
        group: "g".into(),
        clean_offset: Some(true),
    };
    assert_eq!(client.ask(Request::DeleteGroup(delete)).await, Reply::ok());
    let text = "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first";
    let gone = Reply::refused(ResponseCode::QUERY_NOT_FOUND, text);
    assert_eq!(client.query_offset("g", "t", 0).await, gone);
}

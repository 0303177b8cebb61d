//! Registrations that are taken, refused, or do not come.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_silent_broker_is_forgotten_by_the_next_scan() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]).await;
    server.ask(register(TWO_TOPICS)).await;
    tokio::time::sleep(Duration::from_secs(119)).await;
    assert!(server.ask(route("t")).await.is_ok());
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(!server.ask(route("t")).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn a_registration_that_cannot_be_taken_is_answered_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]).await;
    let one = r#"{"topicConfigSerializeWrapper":{"topicConfigTable":{"t":{}}}}"#;
    let refused = [
        (register(one), "register broker failed"),
        (register("?"), "the registration is neither json nor zlib"),
    ];
    for (request, told) in refused {
        let reply = server.ask(request).await;
        assert_eq!(refusal(&reply), (ResponseCode::SYSTEM_ERROR, told));
    }
    let mut wrong = register(TWO_TOPICS);
    if let Request::RegisterBroker { fields, .. } = &mut wrong {
        fields.body_crc32 = Some(1);
    }
    let reply = server.ask(wrong).await;
    assert_eq!(
        refusal(&reply),
        (ResponseCode::SYSTEM_ERROR, "crc32 not match")
    );
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_whose_registrations_are_refused_keeps_its_routes() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]).await;
    server.ask(register(TWO_TOPICS)).await;
    let illegal = r#"{"topicConfigSerializeWrapper":{"topicConfigTable":{"":{}}}}"#;
    for body in ["?", illegal].repeat(4) {
        tokio::time::sleep(Duration::from_secs(31)).await;
        assert!(!server.ask(register(body)).await.is_ok());
        assert!(server.ask(route("t")).await.is_ok(), "{body}");
    }
    tokio::time::sleep(Duration::from_secs(131)).await;
    assert!(!server.ask(route("t")).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn topics_that_a_broker_no_longer_names_are_forgotten_unless_it_names_only_some() {
    let folder = tempfile::tempdir().unwrap();
    let keys = [("deleteTopicWithBrokerRegistration", "true")];
    let server = start(folder.path(), &keys).await;
    server.ask(register(TWO_TOPICS)).await;
    for (is_part, topic, stays) in [(Some(true), "v", true), (None, "w", false)] {
        let table = format!(r#"{{"topicConfigTable":{{"{topic}":{{}}}}}}"#);
        let mut one = register("");
        if let Request::RegisterBroker { fields, body } = &mut one {
            fields.is_part = is_part;
            *body = format!(r#"{{"topicConfigSerializeWrapper":{table}}}"#).into();
        }
        assert!(server.ask(one).await.is_ok());
        assert!(server.ask(route(topic)).await.is_ok());
        assert_eq!(server.ask(route("t")).await.is_ok(), stays, "{is_part:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn as_many_topics_as_a_broker_may_have_fit_into_a_frame() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]).await;
    let longest = json::write(&TopicConfig::new(
        &"t".repeat(RETRY_TOPIC_BYTES_MAX),
        65_536,
        6,
    ));
    let most = TOPICS_MAX * (longest.len() + RETRY_TOPIC_BYTES_MAX + 4);
    // White space is read fast.
    let body = TWO_TOPICS.to_owned() + &" ".repeat(most - TWO_TOPICS.len());
    let mut request = register("");
    let Request::RegisterBroker { body: large, .. } = &mut request else {
        unreachable!()
    };
    *large = body.into();
    let peer = server.dial().await;
    assert!(
        peer.call(Request::ClusterTable, WAIT)
            .await
            .unwrap()
            .is_ok()
    );
    let reply = peer.call(request, WAIT).await;
    assert!(reply.unwrap().is_ok());
    assert!(server.ask(route("t")).await.is_ok());
    server.stop().await;
}

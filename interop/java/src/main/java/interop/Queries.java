package interop;

import static interop.World.*;

import java.util.*;
import org.apache.rocketmq.client.exception.*;
import org.apache.rocketmq.client.producer.*;
import org.apache.rocketmq.client.impl.producer.DefaultMQProducerImpl;
import org.apache.rocketmq.common.message.*;

/** Looking messages and offsets up. */
final class Queries {
    static void register(Map<String, Main.Scenario> all) {
        all.put("view-by-offset-id", Queries::byOffsetId);
        all.put("query-by-key", Queries::byKey);
        all.put("query-by-unique-key", Queries::byUniqueKey);
        all.put("offsets-and-times", Queries::offsets);
        all.put("create-topic", Queries::createTopic);
    }

    private static void byOffsetId(World world) throws Exception {
        String topic = world.topic(1);
        DefaultMQProducer producer = world.producer();
        for (int i = 0; i < 3; i++) {
            SendResult sent = producer.send(new Message(topic, bytes("m" + i)));
            MessageExt found = producer.viewMessage(topic, sent.getOffsetMsgId());
            equal("m" + i, text(found), "body");
            equal(sent.getMsgId(), found.getMsgId(), "unique id");
            equal((long) i, found.getQueueOffset(), "queue offset");
        }
        String id = producer.send(new Message(topic, bytes("x"))).getOffsetMsgId();
        String beyond = id.substring(0, 16) + "0000FFFFFFFFFFFF";
        try {
            Versions.view(producer, topic, beyond);
            throw new AssertionError("found a message beyond the end of the log");
        } catch (MQBrokerException expected) {
            equal(1, expected.getResponseCode(), "code");
            check(expected.getErrorMessage().startsWith("can not find message by the offset, "), expected.getErrorMessage());
        }
    }

    private static void byKey(World world) throws Exception {
        String topic = world.topic(2);
        DefaultMQProducer producer = world.producer();
        long begun = System.currentTimeMillis();
        for (int i = 0; i < 20; i++) {
            producer.send(new Message(topic, "t", i % 2 == 0 ? "even shared" : "odd shared", bytes("m" + i)));
        }
        await("even keys in the index", () -> query(producer, topic, "even", 64, begun).size() == 10);
        await("shared keys in the index", () -> query(producer, topic, "shared", 64, begun).size() == 20);
        equal(numbered("m", 0, 20), sorted(texts(query(producer, topic, "shared", 64, begun))), "bodies");
        equal(5, query(producer, topic, "shared", 5, begun).size(), "limit of the query");
        equal(List.of(), query(producer, topic, "absent", 64, begun), "messages of an absent key");
    }

    private static List<MessageExt> query(DefaultMQProducer producer, String topic, String key, int limit, long begun) throws Exception {
        try {
            return producer.queryMessage(topic, key, limit, begun - 60_000, System.currentTimeMillis() + 60_000).getMessageList();
        } catch (MQClientException nothing) {
            equal(208, nothing.getResponseCode(), "code when nothing is found");
            return List.of();
        }
    }

    private static void byUniqueKey(World world) throws Exception {
        String topic = world.topic(2);
        DefaultMQProducer producer = world.producer();
        SendResult sent = producer.send(new Message(topic, bytes("m0")));
        producer.send(new Message(topic, bytes("m1")));
        DefaultMQProducerImpl inner = producer.getDefaultMQProducerImpl();
        await("unique key in the index", () -> {
            try {
                return inner.queryMessageByUniqKey(topic, sent.getMsgId()) != null;
            } catch (MQClientException notYet) {
                return false;
            }
        });
        MessageExt found = producer.viewMessage(topic, sent.getMsgId());
        equal("m0", text(found), "body");
    }

    private static void offsets(World world) throws Exception {
        String topic = world.topic(1);
        DefaultMQProducer producer = world.producer();
        DefaultMQProducerImpl ask = producer.getDefaultMQProducerImpl();
        MessageQueue queue = queues(producer, topic).get(0);
        equal(0L, ask.maxOffset(queue), "max offset of an empty queue");
        equal(0L, ask.minOffset(queue), "min offset of an empty queue");
        List<Long> times = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            producer.send(new Message(topic, bytes("m" + i)), queue);
            long sentAt = System.currentTimeMillis();
            await("next millisecond", () -> System.currentTimeMillis() > sentAt + 1);
        }
        equal(5L, ask.maxOffset(queue), "max offset");
        equal(0L, ask.minOffset(queue), "min offset");
        for (MessageExt message : world.drain(topic, 5)) {
            times.add(message.getStoreTimestamp());
        }
        equal(times.get(0), ask.earliestMsgStoreTime(queue), "earliest store time");
        for (int i = 0; i < 5; i++) {
            equal((long) i, ask.searchOffset(queue, times.get(i)), "offset at the time of message " + i);
        }
        equal(0L, ask.searchOffset(queue, times.get(0) - 1000), "offset before the first");
        equal(5L, ask.searchOffset(queue, times.get(4) + 1000), "offset after the last");
        equal(3L, ask.searchOffset(queue, times.get(2) + 1), "offset between two messages");
    }

    private static void createTopic(World world) throws Exception {
        String topic = world.topic(3);
        DefaultMQProducer producer = world.producer();
        Versions.createTopic(producer, topic, 7);
        await("seven queues", () -> queues(producer, topic).size() == 7);
        Versions.createTopic(producer, topic, 5);
        await("five queues", () -> queues(producer, topic).size() == 5);
    }

    private Queries() {
    }
}

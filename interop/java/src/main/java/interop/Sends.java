package interop;

import static interop.World.*;

import java.util.*;
import java.util.concurrent.*;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.exception.*;
import org.apache.rocketmq.client.producer.*;
import org.apache.rocketmq.common.message.*;

/** What a producer does, checked by reading the topic back. */
final class Sends {
    static void register(Map<String, Main.Scenario> all) {
        all.put("send-sync", Sends::sync);
        all.put("send-async", Sends::async);
        all.put("send-oneway", Sends::oneway);
        all.put("send-to-queue", Sends::explicitQueue);
        all.put("send-batch", Sends::batch);
        for (String type : Versions.COMPRESSIONS) {
            all.put("send-compressed-" + type.toLowerCase(Locale.ROOT), world -> compressed(world, type));
        }
        all.put("send-properties", Sends::properties);
        all.put("send-sharding-key", Sends::shardingKey);
        all.put("send-vip-channel", Sends::vip);
        all.put("send-big", Sends::big);
        all.put("send-too-big", Sends::tooBig);
        all.put("send-illegal-topic", Sends::illegalTopic);
        all.put("send-unknown-topic-is-created", Sends::autoCreated);
        all.put("send-without-waiting-for-store", Sends::noWait);
    }

    private static void sync(World world) throws Exception {
        String topic = world.topic(4);
        DefaultMQProducer producer = world.producer();
        Map<Integer, Long> next = new TreeMap<>();
        Set<String> offsetIds = new HashSet<>();
        for (int i = 0; i < 40; i++) {
            SendResult sent = producer.send(new Message(topic, bytes("m" + i)));
            equal(SendStatus.SEND_OK, sent.getSendStatus(), "status");
            int queue = sent.getMessageQueue().getQueueId();
            equal(next.getOrDefault(queue, 0L), sent.getQueueOffset(), "offset in queue " + queue);
            next.put(queue, sent.getQueueOffset() + 1);
            check(offsetIds.add(sent.getOffsetMsgId()), "offset id twice: " + sent);
            check(sent.getMsgId().length() == 32 || sent.getMsgId().length() == 56, "unique id " + sent.getMsgId());
        }
        equal(Map.of(0, 10L, 1, 10L, 2, 10L, 3, 10L), next, "messages per queue");
        List<MessageExt> read = world.drain(topic, 40);
        equal(numbered("m", 0, 40), sorted(texts(read)), "bodies");
        equal(offsetIds, read.stream().map(m -> ((MessageClientExt) m).getOffsetMsgId()).collect(Collectors.toSet()), "offset ids");
    }

    private static void async(World world) throws Exception {
        String topic = world.topic(4);
        DefaultMQProducer producer = world.producer();
        CountDownLatch done = new CountDownLatch(200);
        Queue<String> problems = new ConcurrentLinkedQueue<>();
        for (int i = 0; i < 200; i++) {
            producer.send(new Message(topic, bytes("m" + i)), new SendCallback() {
                @Override
                public void onSuccess(SendResult sent) {
                    if (sent.getSendStatus() != SendStatus.SEND_OK) {
                        problems.add(sent.toString());
                    }
                    done.countDown();
                }

                @Override
                public void onException(Throwable failed) {
                    problems.add(failed.toString());
                    done.countDown();
                }
            });
        }
        check(done.await(30, TimeUnit.SECONDS), done.getCount() + " sends without an answer");
        check(problems.isEmpty(), String.valueOf(problems.peek()));
        equal(numbered("m", 0, 200), sorted(texts(world.drain(topic, 200))), "bodies");
    }

    private static void oneway(World world) throws Exception {
        String topic = world.topic(2);
        DefaultMQProducer producer = world.producer();
        for (int i = 0; i < 50; i++) {
            producer.sendOneway(new Message(topic, bytes("m" + i)));
        }
        equal(numbered("m", 0, 50), sorted(texts(world.drain(topic, 50))), "bodies");
    }

    private static void explicitQueue(World world) throws Exception {
        String topic = world.topic(4);
        DefaultMQProducer producer = world.producer();
        MessageQueue third = queues(producer, topic).get(2);
        for (int i = 0; i < 10; i++) {
            SendResult sent = producer.send(new Message(topic, bytes("m" + i)), third);
            equal(third, sent.getMessageQueue(), "queue");
            equal((long) i, sent.getQueueOffset(), "offset");
        }
        List<MessageExt> read = world.drain(topic, 10);
        for (int i = 0; i < 10; i++) {
            equal("m" + i, text(read.get(i)), "order");
            equal((long) i, read.get(i).getQueueOffset(), "offset read");
        }
    }

    private static void batch(World world) throws Exception {
        String topic = world.topic(1);
        DefaultMQProducer producer = world.producer();
        List<Message> messages = new ArrayList<>();
        for (int i = 0; i < 30; i++) {
            Message message = new Message(topic, "tag" + i % 3, "key" + i, bytes("m" + i));
            message.putUserProperty("n", "größe " + i);
            message.setFlag(i);
            messages.add(message);
        }
        SendResult sent = producer.send(messages);
        equal(SendStatus.SEND_OK, sent.getSendStatus(), "status");
        equal(30, sent.getOffsetMsgId().split(",").length, "offset ids");
        equal(30, sent.getMsgId().split(",").length, "unique ids");
        equal(0L, sent.getQueueOffset(), "offset of the first");
        List<MessageExt> read = world.drain(topic, 30);
        for (int i = 0; i < 30; i++) {
            MessageExt message = read.get(i);
            equal("m" + i, text(message), "body");
            equal("tag" + i % 3, message.getTags(), "tag");
            equal("key" + i, message.getKeys(), "key");
            equal("größe " + i, message.getUserProperty("n"), "property");
            equal(i, message.getFlag(), "flag");
            equal(sent.getOffsetMsgId().split(",")[i], ((MessageClientExt) message).getOffsetMsgId(), "offset id");
            equal(sent.getMsgId().split(",")[i], message.getMsgId(), "unique id");
        }
        Message retry = new Message("%RETRY%" + world.fresh("g"), bytes("x"));
        try {
            producer.send(List.of(retry));
            throw new AssertionError("a batch for a retry topic was taken");
        } catch (MQClientException | UnsupportedOperationException expected) {
            // the client itself refuses
        }
    }

    private static void compressed(World world, String type) throws Exception {
        String topic = world.topic(1);
        DefaultMQProducer producer = world.producer();
        Versions.compress(producer, type);
        String body = "compress me, grüße! ".repeat(1000);
        equal(SendStatus.SEND_OK, producer.send(new Message(topic, bytes(body))).getSendStatus(), "status");
        equal(SendStatus.SEND_OK, producer.send(new Message(topic, bytes("short"))).getSendStatus(), "status");
        List<MessageExt> read = world.drain(topic, 2);
        equal(body, text(read.get(0)), "body");
        check(read.get(0).getStoreSize() < 2000, "stored uncompressed: " + read.get(0).getStoreSize());
        equal("short", text(read.get(1)), "body");
    }

    private static void properties(World world) throws Exception {
        String topic = world.topic(1);
        DefaultMQProducer producer = world.producer();
        Message message = new Message(topic, "标签", "k1 ключ", bytes("grüße 世界 🚀"));
        Map<String, String> own = Map.of("größe", "groß 🚀", "a", "1", "with spaces and = ; , signs", "\"quoted\" {json}", "long", "x".repeat(20_000));
        own.forEach(message::putUserProperty);
        message.setFlag(0x7FFFFFFF);
        long before = System.currentTimeMillis();
        SendResult sent = producer.send(message);
        MessageExt read = world.drain(topic, 1).get(0);
        equal("grüße 世界 🚀", text(read), "body");
        equal("标签", read.getTags(), "tags");
        equal("k1 ключ", read.getKeys(), "keys");
        equal(0x7FFFFFFF, read.getFlag(), "flag");
        for (Map.Entry<String, String> each : own.entrySet()) {
            equal(each.getValue(), read.getUserProperty(each.getKey()), "property " + each.getKey());
        }
        Set<String> names = new TreeSet<>(read.getProperties().keySet());
        names.removeAll(own.keySet());
        // the checksum is there where the broker's enabledAppendPropCRC is on: Gantry's default, not Apache's
        names.removeAll(Set.of("MIN_OFFSET", "MAX_OFFSET", "__CRC32#"));
        equal(new TreeSet<>(Set.of("KEYS", "TAGS", "UNIQ_KEY", "CLUSTER", "MSG_REGION", "TRACE_ON", "WAIT")), withWait(names), "other properties");
        equal("DefaultRegion", read.getProperty("MSG_REGION"), "MSG_REGION");
        equal("DefaultRegion", sent.getRegionId(), "region of the answer");
        equal("true", read.getProperty("TRACE_ON"), "TRACE_ON");
        equal(sent.getMsgId(), read.getMsgId(), "unique id");
        check(Math.abs(read.getStoreTimestamp() - before) < 60_000, "store time " + read.getStoreTimestamp());
        equal(0, read.getReconsumeTimes(), "reconsume times");
    }

    /** WAIT is left to the server: kept or dropped, nobody reads it again. */
    private static Set<String> withWait(Set<String> names) {
        Set<String> all = new TreeSet<>(names);
        all.add("WAIT");
        return all;
    }

    private static void shardingKey(World world) throws Exception {
        String topic = world.topic(4);
        DefaultMQProducer producer = world.producer();
        for (int i = 0; i < 60; i++) {
            Message message = new Message(topic, "t", "order" + i % 6, bytes(i % 6 + ":" + i / 6));
            SendResult sent = producer.send(message, (queues, candidate, order) -> queues.get((Integer) order % queues.size()), i % 6);
            equal(i % 6 % 4, sent.getMessageQueue().getQueueId(), "queue of order " + i % 6);
        }
        Map<String, Integer> next = new HashMap<>();
        for (MessageExt message : world.drain(topic, 60)) {
            String[] parts = text(message).split(":");
            equal(next.getOrDefault(parts[0], 0), Integer.parseInt(parts[1]), "order of key " + parts[0]);
            next.merge(parts[0], 1, Integer::sum);
        }
    }

    private static void vip(World world) throws Exception {
        String topic = world.topic(1);
        DefaultMQProducer producer = world.unstartedProducer();
        producer.setVipChannelEnabled(true);
        producer.setRetryTimesWhenSendFailed(0);
        producer.start();
        world.send(producer, topic, 0, 5);
        MessageQueue queue = queues(producer, topic).get(0);
        equal(5L, producer.getDefaultMQProducerImpl().maxOffset(queue), "max offset through the VIP port");
        equal(numbered("m", 0, 5), sorted(texts(world.drain(topic, 5))), "bodies");
    }

    private static void big(World world) throws Exception {
        String topic = world.topic(1);
        DefaultMQProducer producer = world.unstartedProducer();
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        producer.setSendMsgTimeout(30_000);
        producer.start();
        byte[] body = new byte[3_900 * 1024];
        new Random(7).nextBytes(body);
        equal(SendStatus.SEND_OK, producer.send(new Message(topic, body)).getSendStatus(), "status");
        check(Arrays.equals(body, world.drain(topic, 1).get(0).getBody()), "other bytes came back");
    }

    private static void tooBig(World world) throws Exception {
        String topic = world.topic(1);
        DefaultMQProducer producer = world.unstartedProducer();
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        producer.setSendMsgTimeout(30_000);
        producer.start();
        byte[] body = new byte[4 * 1024 * 1024 + 1];
        try {
            producer.send(new Message(topic, body));
            throw new AssertionError("the client let it pass");
        } catch (MQClientException expected) {
            equal(13, expected.getResponseCode(), "code of the client");
        }
        producer.setMaxMessageSize(8 * 1024 * 1024);
        try {
            producer.send(new Message(topic, body));
            throw new AssertionError("the broker took it");
        } catch (MQBrokerException expected) {
            equal(13, expected.getResponseCode(), "code of the broker");
            check(expected.getErrorMessage().startsWith("the message is illegal, maybe msg body or properties length not matched."), expected.getErrorMessage());
        }
        world.send(producer, topic, 0, 1);
        equal(1L, sumOfMaxOffsets(producer, topic), "messages stored");
    }

    private static void illegalTopic(World world) throws Exception {
        DefaultMQProducer producer = world.producer();
        for (String topic : List.of("has blank", "has/slash", "ümlaut", "x".repeat(128))) {
            try {
                producer.send(new Message(topic, bytes("x")));
                throw new AssertionError(topic + " was taken");
            } catch (MQClientException expected) {
                // the client knows the rule too; the server's answer is compared with raw frames
            }
        }
    }

    private static void autoCreated(World world) throws Exception {
        String topic = world.fresh("auto");
        DefaultMQProducer producer = world.producer();
        world.send(producer, topic, 0, 8);
        equal(4, queues(producer, topic).size(), "queues of a topic that a send created");
        equal(numbered("m", 0, 8), sorted(texts(world.drain(topic, 8))), "bodies");
    }

    private static void noWait(World world) throws Exception {
        String topic = world.topic(1);
        DefaultMQProducer producer = world.producer();
        Message message = new Message(topic, bytes("m0"));
        message.setWaitStoreMsgOK(false);
        equal(SendStatus.SEND_OK, producer.send(message).getSendStatus(), "status");
        equal(List.of("m0"), texts(world.drain(topic, 1)), "bodies");
    }

    private Sends() {
    }
}

package interop;

import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.*;
import org.apache.rocketmq.client.consumer.listener.*;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.*;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.*;

/** What one scenario works with: names nobody else uses, clients that are shut down at its end, waits with a limit. */
final class World implements AutoCloseable {
    private static final String RUN = Long.toString(System.currentTimeMillis() % 100_000_000, 36);
    private static final AtomicInteger NEXT = new AtomicInteger();

    final String namesrv;
    private final String name;
    private final Deque<AutoCloseable> open = new ArrayDeque<>();

    World(String namesrv, String name) {
        this.namesrv = namesrv;
        this.name = name;
    }

    interface Condition {
        boolean holds() throws Exception;
    }

    static void await(String what, Condition condition) throws Exception {
        await(45, what, condition);
    }

    static void await(int seconds, String what, Condition condition) throws Exception {
        long begun = System.nanoTime();
        long deadline = begun + seconds * 1_000_000_000L;
        while (!condition.holds()) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError("not within " + seconds + " s: " + what);
            }
            Thread.sleep(20);
        }
        if (System.getenv("INTEROP_TRACE") != null) {
            System.err.printf("waited %.1f s: %s%n", (System.nanoTime() - begun) / 1e9, what);
        }
    }

    static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }

    static void equal(Object expected, Object actual, String what) {
        if (!Objects.equals(expected, actual)) {
            throw new AssertionError(what + ": expected " + shorten(expected) + ", got " + shorten(actual));
        }
    }

    private static String shorten(Object value) {
        String text = String.valueOf(value);
        return text.length() > 400 ? text.substring(0, 400) + "..." : text;
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String text(Message message) {
        return new String(message.getBody(), StandardCharsets.UTF_8);
    }

    String fresh(String kind) {
        return kind + "_" + name.replace('-', '_') + "_" + RUN + "_" + NEXT.incrementAndGet();
    }

    <T extends AutoCloseable> T keep(T resource) {
        open.push(resource);
        return resource;
    }

    private <C extends org.apache.rocketmq.client.ClientConfig> C configured(C client) {
        client.setNamesrvAddr(namesrv);
        client.setInstanceName(fresh("i"));
        client.setVipChannelEnabled(false);
        return client;
    }

    DefaultMQProducer producer() throws MQClientException {
        DefaultMQProducer producer = unstartedProducer();
        producer.start();
        return producer;
    }

    DefaultMQProducer unstartedProducer() {
        DefaultMQProducer producer = configured(new DefaultMQProducer(fresh("p")));
        producer.setSendMsgTimeout(10_000);
        keep(producer::shutdown);
        return producer;
    }

    /** A push consumer that is not started yet; it reads from the beginning of a topic. */
    DefaultMQPushConsumer push(String group, String topic, String expression) throws MQClientException {
        DefaultMQPushConsumer consumer = configured(new DefaultMQPushConsumer(group));
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setConsumeThreadMin(2);
        consumer.setConsumeThreadMax(2);
        consumer.subscribe(topic, expression);
        keep(consumer::shutdown);
        return consumer;
    }

    DefaultMQPushConsumer collecting(String group, String topic, String expression, Collection<MessageExt> into) throws MQClientException {
        DefaultMQPushConsumer consumer = push(group, topic, expression);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            into.addAll(messages);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        return consumer;
    }

    DefaultLitePullConsumer lite(String group) {
        DefaultLitePullConsumer consumer = configured(new DefaultLitePullConsumer(group));
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        keep(consumer::shutdown);
        return consumer;
    }

    @SuppressWarnings("deprecation")
    DefaultMQPullConsumer pull(String group) throws MQClientException {
        DefaultMQPullConsumer consumer = configured(new DefaultMQPullConsumer(group));
        keep(consumer::shutdown);
        consumer.start();
        return consumer;
    }

    /** A new topic with that many queues, already in the route table. */
    String topic(int queues) throws Exception {
        String topic = fresh("t");
        DefaultMQProducer admin = producer();
        Versions.createTopic(admin, topic, queues);
        await("route of " + topic, () -> queues(admin, topic).size() == queues);
        return topic;
    }

    static List<MessageQueue> queues(DefaultMQProducer client, String topic) {
        try {
            List<MessageQueue> queues = new ArrayList<>(client.fetchPublishMessageQueues(topic));
            Collections.sort(queues);
            return queues;
        } catch (MQClientException notYet) {
            return List.of();
        }
    }

    static long sumOfMaxOffsets(DefaultMQProducer client, String topic) throws MQClientException {
        long sum = 0;
        for (MessageQueue queue : queues(client, topic)) {
            sum += client.getDefaultMQProducerImpl().maxOffset(queue);
        }
        return sum;
    }

    /** Everything that is in the topic, queue by queue in order. */
    @SuppressWarnings("deprecation")
    List<MessageExt> drain(String topic, int expected) throws Exception {
        DefaultMQPullConsumer reader = pull(fresh("g"));
        List<MessageExt> all = new ArrayList<>();
        await(expected + " messages in " + topic, () -> {
            all.clear();
            for (MessageQueue queue : new TreeSet<>(reader.fetchSubscribeMessageQueues(topic))) {
                long next = reader.minOffset(queue);
                while (next < reader.maxOffset(queue)) {
                    PullResult result = reader.pull(queue, "*", next, 32);
                    if (result.getPullStatus() == PullStatus.FOUND) {
                        all.addAll(result.getMsgFoundList());
                    }
                    check(result.getNextBeginOffset() > next, "pull does not advance from " + next + " of " + queue + ": " + result);
                    next = result.getNextBeginOffset();
                }
            }
            return all.size() >= expected;
        });
        equal(expected, all.size(), "messages in " + topic);
        return all;
    }

    static List<String> texts(Collection<MessageExt> messages) {
        return messages.stream().map(World::text).toList();
    }

    static List<String> sorted(Collection<String> values) {
        return values.stream().sorted().toList();
    }

    static List<String> numbered(String prefix, int from, int to) {
        List<String> out = new ArrayList<>();
        for (int i = from; i < to; i++) {
            out.add(prefix + i);
        }
        return sorted(out);
    }

    void send(DefaultMQProducer producer, String topic, int from, int to) throws Exception {
        for (int i = from; i < to; i++) {
            equal(SendStatus.SEND_OK, producer.send(new Message(topic, bytes("m" + i))).getSendStatus(), "send status");
        }
    }

    /** Clients take up to 3 s each to shut down (they wait for a heartbeat of their own), so nobody waits for them. */
    @Override
    public void close() {
        Thread closing = new Thread(() -> {
            while (!open.isEmpty()) {
                try {
                    open.pop().close();
                } catch (Exception ignored) {
                    // a client that does not shut down cleanly says so in its own log
                }
            }
        });
        closing.setDaemon(true);
        closing.start();
    }
}

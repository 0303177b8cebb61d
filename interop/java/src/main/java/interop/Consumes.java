package interop;

import static interop.World.*;

import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.*;
import org.apache.rocketmq.client.consumer.listener.*;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.*;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.*;

/** Every kind of consumer that the published client offers. */
final class Consumes {
    static void register(Map<String, Main.Scenario> all) {
        all.put("push-orderly", Consumes::orderly);
        all.put("push-orderly-takes-over-locks", Consumes::orderlyTakeover);
        all.put("push-two-instances-join-and-leave", Consumes::rebalance);
        all.put("push-instance-killed", Consumes::killed);
        all.put("push-broadcast", Consumes::broadcast);
        all.put("push-clustering", Consumes::clustering);
        all.put("push-wakes-at-once", Consumes::wakes);
        all.put("push-tags", Consumes::tags);
        all.put("push-two-groups", Consumes::twoGroups);
        all.put("push-retry-free-restart", Consumes::restart);
        all.put("push-from-where", Consumes::fromWhere);
        all.put("lite-pull-assign", Consumes::liteAssign);
        all.put("lite-pull-subscribe", Consumes::liteSubscribe);
        all.put("pull-consumer", Consumes::pull);
    }

    private static int owned(DefaultMQPushConsumer consumer, String topic) {
        int n = 0;
        for (MessageQueue queue : consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet()) {
            n += queue.getTopic().equals(topic) ? 1 : 0;
        }
        return n;
    }

    private static void clustering(World world) throws Exception {
        String topic = world.topic(4);
        String group = world.fresh("g");
        DefaultMQProducer producer = world.producer();
        world.send(producer, topic, 0, 20);
        Collection<MessageExt> seen = new ConcurrentLinkedQueue<>();
        world.collecting(group, topic, "*", seen).start();
        await("what was sent before", () -> seen.size() >= 20);
        world.send(producer, topic, 20, 40);
        await("what was sent after", () -> seen.size() >= 40);
        equal(numbered("m", 0, 40), sorted(texts(seen)), "messages");
        for (MessageExt message : seen) {
            equal(0, message.getReconsumeTimes(), "reconsume times");
            equal(topic, message.getTopic(), "topic");
        }
    }

    private static void rebalance(World world) throws Exception {
        String topic = world.topic(4);
        String group = world.fresh("g");
        DefaultMQProducer producer = world.producer();
        Collection<MessageExt> first = new ConcurrentLinkedQueue<>();
        Collection<MessageExt> second = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer one = world.collecting(group, topic, "*", first);
        one.start();
        await("one has all queues", () -> owned(one, topic) == 4);
        world.send(producer, topic, 0, 20);
        await("first 20", () -> first.size() == 20);
        one.getDefaultMQPushConsumerImpl().getOffsetStore().persistAll(one.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet());

        DefaultMQPushConsumer two = world.collecting(group, topic, "*", second);
        two.start();
        // well under the 20 s after which clients look by themselves: the server has to tell them
        await(15, "the first hands over two queues", () -> owned(one, topic) == 2);
        await(15, "two queues each", () -> owned(one, topic) == 2 && owned(two, topic) == 2);
        first.clear();
        second.clear();
        world.send(producer, topic, 20, 60);
        await("40 messages between the two", () -> first.size() + second.size() >= 40);
        equal(numbered("m", 20, 60), sorted(both(first, second)), "each message once");
        check(!first.isEmpty() && !second.isEmpty(), "one of the two got nothing");

        two.shutdown();
        await(15, "the first takes all queues back", () -> owned(one, topic) == 4);
        first.clear();
        second.clear();
        world.send(producer, topic, 60, 80);
        await("last 20", () -> first.size() >= 20);
        equal(numbered("m", 60, 80), sorted(both(first, second)), "each message once after one left");
    }

    private static List<String> both(Collection<MessageExt> a, Collection<MessageExt> b) {
        List<String> all = new ArrayList<>(texts(a));
        all.addAll(texts(b));
        return all;
    }

    private static void killed(World world) throws Exception {
        String topic = world.topic(4);
        String group = world.fresh("g");
        DefaultMQProducer producer = world.producer();
        Collection<MessageExt> seen = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer here = world.collecting(group, topic, "*", seen);
        here.start();
        await("all queues here", () -> owned(here, topic) == 4);
        Process child = Processes.java("interop.Processes", world.namesrv, group, topic);
        world.keep(() -> child.destroyForcibly());
        await("half of the queues in the other process", () -> owned(here, topic) == 2);
        child.destroyForcibly().waitFor();
        await(15, "all queues here after the other process was killed", () -> owned(here, topic) == 4);
        world.send(producer, topic, 0, 20);
        await("20 messages", () -> new HashSet<>(texts(seen)).size() == 20);
    }

    private static void broadcast(World world) throws Exception {
        String topic = world.topic(4);
        String group = world.fresh("g");
        List<Collection<MessageExt>> seen = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            Collection<MessageExt> mine = new ConcurrentLinkedQueue<>();
            seen.add(mine);
            DefaultMQPushConsumer consumer = world.collecting(group, topic, "*", mine);
            Versions.broadcast(consumer);
            consumer.start();
            await("all queues", () -> owned(consumer, topic) == 4);
        }
        world.send(world.producer(), topic, 0, 20);
        for (Collection<MessageExt> mine : seen) {
            await("every message at every consumer", () -> mine.size() >= 20);
            equal(numbered("m", 0, 20), sorted(texts(mine)), "messages");
        }
    }

    /** Keeps what was consumed in one list and notices when a queue is consumed twice at a time. */
    private static final class Ordered implements MessageListenerOrderly {
        final List<String> all;
        final Map<Integer, AtomicInteger> inside;
        final Set<String> overlaps;
        final AtomicInteger mine = new AtomicInteger();

        Ordered(List<String> all, Map<Integer, AtomicInteger> inside, Set<String> overlaps) {
            this.all = all;
            this.inside = inside;
            this.overlaps = overlaps;
        }

        @Override
        public ConsumeOrderlyStatus consumeMessage(List<MessageExt> messages, ConsumeOrderlyContext context) {
            int queue = context.getMessageQueue().getQueueId();
            AtomicInteger counter = inside.computeIfAbsent(queue, q -> new AtomicInteger());
            if (counter.incrementAndGet() != 1) {
                overlaps.add("queue " + queue);
            }
            for (MessageExt message : messages) {
                all.add(text(message));
                mine.incrementAndGet();
            }
            counter.decrementAndGet();
            return ConsumeOrderlyStatus.SUCCESS;
        }
    }

    private static void sendKeys(DefaultMQProducer producer, String topic, int keys, int from, int to) throws Exception {
        for (int i = from; i < to; i++) {
            for (int key = 0; key < keys; key++) {
                int chosen = key;
                producer.send(new Message(topic, bytes(key + ":" + i)), (queues, m, arg) -> queues.get(chosen % queues.size()), null);
            }
        }
    }

    private static void inOrder(List<String> all, int keys, int upTo) {
        Map<String, Integer> next = new HashMap<>();
        synchronized (all) {
            for (String each : all) {
                String[] parts = each.split(":");
                equal(next.getOrDefault(parts[0], 0), Integer.parseInt(parts[1]), "next of key " + parts[0]);
                next.merge(parts[0], 1, Integer::sum);
            }
        }
        equal(keys, next.size(), "keys");
        next.values().forEach(n -> equal(upTo, n, "messages of a key"));
    }

    private static void orderly(World world) throws Exception {
        String topic = world.topic(4);
        DefaultMQProducer producer = world.producer();
        List<String> all = Collections.synchronizedList(new ArrayList<>());
        DefaultMQPushConsumer consumer = world.push(world.fresh("g"), topic, "*");
        consumer.registerMessageListener(new Ordered(all, new ConcurrentHashMap<>(), new HashSet<>()));
        sendKeys(producer, topic, 6, 0, 10);
        consumer.start();
        sendKeys(producer, topic, 6, 10, 20);
        await("120 messages", () -> all.size() >= 120);
        inOrder(all, 6, 20);
    }

    private static void orderlyTakeover(World world) throws Exception {
        String topic = world.topic(4);
        String group = world.fresh("g");
        DefaultMQProducer producer = world.producer();
        List<String> all = Collections.synchronizedList(new ArrayList<>());
        Map<Integer, AtomicInteger> inside = new ConcurrentHashMap<>();
        Set<String> overlaps = ConcurrentHashMap.newKeySet();
        Ordered first = new Ordered(all, inside, overlaps);
        Ordered second = new Ordered(all, inside, overlaps);
        DefaultMQPushConsumer one = world.push(group, topic, "*");
        one.registerMessageListener(first);
        one.start();
        sendKeys(producer, topic, 4, 0, 10);
        await("40 messages at the first", () -> all.size() >= 40);
        DefaultMQPushConsumer two = world.push(group, topic, "*");
        two.registerMessageListener(second);
        two.start();
        await("two locked queues each", () -> owned(one, topic) == 2 && owned(two, topic) == 2);
        sendKeys(producer, topic, 4, 10, 20);
        await("80 messages", () -> all.size() >= 80);
        check(second.mine.get() == 20, "the second got " + second.mine.get() + " of 20");
        one.shutdown();
        await("all queues locked by the second", () -> owned(two, topic) == 4);
        sendKeys(producer, topic, 4, 20, 30);
        await("120 messages", () -> all.size() >= 120);
        inOrder(all, 4, 30);
        check(overlaps.isEmpty(), "consumed by two at a time: " + overlaps);
    }

    private static void wakes(World world) throws Exception {
        String topic = world.topic(1);
        DefaultMQProducer producer = world.producer();
        BlockingQueue<Long> arrived = new LinkedBlockingQueue<>();
        DefaultMQPushConsumer consumer = world.push(world.fresh("g"), topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(m -> arrived.add(System.nanoTime()));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        world.send(producer, topic, 0, 1);
        check(arrived.poll(45, TimeUnit.SECONDS) != null, "nothing arrived");
        List<Double> took = new ArrayList<>();
        for (int i = 1; i < 21; i++) {
            long begun = System.nanoTime();
            world.send(producer, topic, i, i + 1);
            Long at = arrived.poll(10, TimeUnit.SECONDS);
            check(at != null, "message " + i + " did not wake the poll");
            took.add((at - begun) / 1e6);
        }
        Collections.sort(took);
        check(took.get(10) < 300, "median from send to listener " + took.get(10) + " ms: the poll is not woken");
    }

    private static void tags(World world) throws Exception {
        String topic = world.topic(2);
        DefaultMQProducer producer = world.producer();
        Collection<MessageExt> seen = new ConcurrentLinkedQueue<>();
        Collection<MessageExt> collided = new ConcurrentLinkedQueue<>();
        // "Aa" and "BB" have the same Java hash, which is all that the server looks at
        world.collecting(world.fresh("g"), topic, "A || B", seen).start();
        world.collecting(world.fresh("g"), topic, "Aa", collided).start();
        String[] tags = {"A", "B", "C", "Aa", "BB", null};
        for (int i = 0; i < 60; i++) {
            producer.send(new Message(topic, tags[i % 6], bytes(tags[i % 6] + i)));
        }
        await("20 messages with A or B", () -> seen.size() >= 20);
        await("10 messages with Aa", () -> collided.size() >= 10);
        producer.send(new Message(topic, "A", bytes("A-end")));
        await("the last one", () -> seen.size() >= 21);
        equal(21, seen.size(), "messages with A or B");
        equal(10, collided.size(), "messages with Aa");
        check(seen.stream().allMatch(m -> m.getTags().equals("A") || m.getTags().equals("B")), "other tags came");
        check(collided.stream().allMatch(m -> m.getTags().equals("Aa")), "other tags came");
    }

    private static void twoGroups(World world) throws Exception {
        String topic = world.topic(2);
        List<Collection<MessageExt>> seen = List.of(new ConcurrentLinkedQueue<>(), new ConcurrentLinkedQueue<>());
        for (Collection<MessageExt> mine : seen) {
            world.collecting(world.fresh("g"), topic, "*", mine).start();
        }
        world.send(world.producer(), topic, 0, 20);
        for (Collection<MessageExt> mine : seen) {
            await("every message in every group", () -> mine.size() >= 20);
            equal(numbered("m", 0, 20), sorted(texts(mine)), "messages");
        }
    }

    private static void restart(World world) throws Exception {
        String topic = world.topic(4);
        String group = world.fresh("g");
        DefaultMQProducer producer = world.producer();
        Collection<MessageExt> before = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer consumer = world.collecting(group, topic, "*", before);
        consumer.start();
        world.send(producer, topic, 0, 20);
        await("20 messages", () -> before.size() >= 20);
        consumer.shutdown();
        world.send(producer, topic, 20, 25);
        Collection<MessageExt> after = new ConcurrentLinkedQueue<>();
        world.collecting(group, topic, "*", after).start();
        await("5 messages after the restart", () -> after.size() >= 5);
        world.send(producer, topic, 25, 30);
        await("10 messages after the restart", () -> after.size() >= 10);
        equal(numbered("m", 0, 20), sorted(texts(before)), "before");
        equal(numbered("m", 20, 30), sorted(texts(after)), "after");
    }

    /**
     * On a topic whose first message is still at hand a new group starts at 0 wherever it asks to start (the broker
     * answers 0, not "no offset"), and once an offset is stored it decides.
     */
    private static void fromWhere(World world) throws Exception {
        String topic = world.topic(1);
        DefaultMQProducer producer = world.producer();
        world.send(producer, topic, 0, 10);
        for (ConsumeFromWhere where : List.of(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET,
                ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET, ConsumeFromWhere.CONSUME_FROM_TIMESTAMP)) {
            String group = world.fresh("g");
            Collection<MessageExt> seen = new ConcurrentLinkedQueue<>();
            DefaultMQPushConsumer consumer = world.collecting(group, topic, "*", seen);
            consumer.setConsumeFromWhere(where);
            consumer.setConsumeTimestamp("20200101000000");
            consumer.start();
            await("10 messages, " + where, () -> seen.size() >= 10);
            equal(numbered("m", 0, 10), sorted(texts(seen)), "messages, " + where);
        }
        String group = world.fresh("g");
        DefaultMQPullConsumer committing = world.pull(group);
        MessageQueue queue = committing.fetchSubscribeMessageQueues(topic).iterator().next();
        commit(committing, queue, 7);
        committing.shutdown();
        Collection<MessageExt> seen = new ConcurrentLinkedQueue<>();
        world.collecting(group, topic, "*", seen).start();
        await("3 messages", () -> seen.size() >= 3);
        equal(numbered("m", 7, 10), sorted(texts(seen)), "messages after the stored offset");
    }

    @SuppressWarnings("deprecation")
    private static void commit(DefaultMQPullConsumer consumer, MessageQueue queue, long offset) throws Exception {
        await("offset " + offset + " stored", () -> {
            try {
                consumer.getOffsetStore().updateConsumeOffsetToBroker(queue, offset, false);
            } catch (MQBrokerException notYet) {
                equal(26, notYet.getResponseCode(), "code before the first heartbeat of the group");
                return false;
            }
            return consumer.fetchConsumeOffset(queue, true) == offset;
        });
    }

    private static void liteAssign(World world) throws Exception {
        String topic = world.topic(2);
        DefaultMQProducer producer = world.producer();
        MessageQueue queue = queues(producer, topic).get(1);
        for (int i = 0; i < 10; i++) {
            producer.send(new Message(topic, bytes("m" + i)), queue);
        }
        DefaultLitePullConsumer consumer = world.lite(world.fresh("g"));
        consumer.setAutoCommit(false);
        consumer.start();
        MessageQueue assigned = consumer.fetchMessageQueues(topic).stream().filter(q -> q.getQueueId() == 1).findFirst().orElseThrow();
        consumer.assign(List.of(assigned));
        consumer.seek(assigned, 3);
        equal(numbered("m", 3, 10), sorted(polled(consumer, 7)), "after seek(3)");
        consumer.seekToBegin(assigned);
        equal(numbered("m", 0, 10), sorted(polled(consumer, 10)), "after seekToBegin");
        consumer.commitSync(Map.of(assigned, 6L), true);
        await("committed", () -> consumer.committed(assigned) == 6);
        consumer.seekToEnd(assigned);
        producer.send(new Message(topic, bytes("m10")), queue);
        equal(List.of("m10"), polled(consumer, 1), "after seekToEnd");
        equal(0L, consumer.offsetForTimestamp(assigned, 1_577_836_800_000L), "offset for an old time");
    }

    private static List<String> polled(DefaultLitePullConsumer consumer, int expected) throws Exception {
        List<String> all = new ArrayList<>();
        await(expected + " polled messages", () -> {
            consumer.poll(500).forEach(m -> all.add(text(m)));
            return all.size() >= expected;
        });
        return all;
    }

    private static void liteSubscribe(World world) throws Exception {
        String topic = world.topic(4);
        String group = world.fresh("g");
        DefaultMQProducer producer = world.producer();
        world.send(producer, topic, 0, 20);
        DefaultLitePullConsumer consumer = world.lite(group);
        consumer.subscribe(topic, "*");
        consumer.setAutoCommit(false);
        consumer.start();
        equal(numbered("m", 0, 20), sorted(polled(consumer, 20)), "messages");
        consumer.commitSync();
        consumer.shutdown();
        world.send(producer, topic, 20, 25);
        DefaultLitePullConsumer again = world.lite(group);
        again.subscribe(topic, "*");
        again.start();
        equal(numbered("m", 20, 25), sorted(polled(again, 5)), "messages after a restart");
    }

    @SuppressWarnings("deprecation")
    private static void pull(World world) throws Exception {
        String topic = world.topic(1);
        DefaultMQProducer producer = world.producer();
        world.send(producer, topic, 0, 40);
        DefaultMQPullConsumer consumer = world.pull(world.fresh("g"));
        MessageQueue queue = consumer.fetchSubscribeMessageQueues(topic).iterator().next();
        await("40 readable messages", () -> consumer.maxOffset(queue) == 40);
        equal(-1L, Math.min(-1L, consumer.fetchConsumeOffset(queue, true)), "offset of a new group is not an error");
        PullResult found = consumer.pull(queue, "*", 0, 32);
        equal(PullStatus.FOUND, found.getPullStatus(), "status");
        equal(found.getMsgFoundList().size() + 0L, found.getNextBeginOffset(), "next offset");
        equal(0L, found.getMinOffset(), "min offset");
        equal(40L, found.getMaxOffset(), "max offset");
        equal(PullStatus.NO_NEW_MSG, consumer.pull(queue, "*", 40, 32).getPullStatus(), "status at the end");
        PullResult beyond = consumer.pull(queue, "*", 100, 32);
        equal(PullStatus.OFFSET_ILLEGAL, beyond.getPullStatus(), "status beyond the end");
        equal(40L, beyond.getNextBeginOffset(), "next offset beyond the end");
        PullResult none = consumer.pull(queue, "no-such-tag", 0, 32);
        equal(PullStatus.NO_MATCHED_MSG, none.getPullStatus(), "status when the filter takes all");
        equal(40L, none.getNextBeginOffset(), "next offset when the filter takes all");

        CompletableFuture<PullResult> blocked = new CompletableFuture<>();
        Thread waiter = new Thread(() -> {
            try {
                blocked.complete(consumer.pullBlockIfNotFound(queue, "*", 40, 32));
            } catch (Exception failed) {
                blocked.completeExceptionally(failed);
            }
        });
        waiter.start();
        await("the poll waits", () -> waiter.getState() == Thread.State.TIMED_WAITING || waiter.getState() == Thread.State.WAITING);
        world.send(producer, topic, 40, 41);
        PullResult woken = blocked.get(10, TimeUnit.SECONDS);
        equal(PullStatus.FOUND, woken.getPullStatus(), "status of the woken poll");
        equal(List.of("m40"), texts(woken.getMsgFoundList()), "message of the woken poll");

        commit(consumer, queue, 33);
        equal(33L, consumer.fetchConsumeOffset(queue, true), "stored offset");
    }

    private Consumes() {
    }
}

package interop;

import static interop.World.*;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.*;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.*;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * Clients that live through faults of their server, network or disk: NAMESRV_ADDR. Says "ready" when messages flow, is told "enough" on
 * standard input, and then asks: did whatever was answered with SEND_OK come to both groups, as it was sent, and with the
 * one that consumes in order without a gap?
 */
public final class Faults {
    private static final int QUEUES = 4;
    private static final int SENDERS = 4;
    /** A broker that comes back knows no locks; who consumes in order asks for them every 20 s, and may wait for a minute. */
    private static final int DRAIN_SECONDS = 150;

    private final Set<Integer> acknowledged = ConcurrentHashMap.newKeySet();
    private final Set<Integer> unknown = ConcurrentHashMap.newKeySet();
    private final AtomicInteger next = new AtomicInteger();
    private final AtomicBoolean enough = new AtomicBoolean();

    /** What one group got. */
    private static final class Got {
        final Set<Integer> numbers = ConcurrentHashMap.newKeySet();
        final Map<Integer, Long> high = new ConcurrentHashMap<>();
        final AtomicInteger again = new AtomicInteger();
        volatile String wrong;

        void take(List<MessageExt> messages, boolean inOrder) {
            for (MessageExt message : messages) {
                String[] parts = text(message).split(":", 2);
                int number = Integer.parseInt(parts[0]);
                if (!parts[1].equals(filler(number))) {
                    wrong = "message " + number + " was altered";
                }
                if (!numbers.add(number)) {
                    again.incrementAndGet();
                }
                long before = high.getOrDefault(message.getQueueId(), -1L);
                if (inOrder && message.getQueueOffset() > before + 1) {
                    wrong = "queue " + message.getQueueId() + " went from " + before + " to " + message.getQueueOffset();
                }
                high.merge(message.getQueueId(), message.getQueueOffset(), Math::max);
            }
        }
    }

    private static String filler(int number) {
        return Integer.toString(number, 36).repeat(40);
    }

    private void send(DefaultMQProducer producer, String topic) {
        while (!enough.get()) {
            int number = next.getAndIncrement();
            try {
                SendStatus status = producer.send(new Message(topic, bytes(number + ":" + filler(number)))).getSendStatus();
                (status == SendStatus.SEND_OK ? acknowledged : unknown).add(number);
                Thread.sleep(1);
            } catch (Exception noAnswer) {
                unknown.add(number);
                pause();
            }
        }
    }

    private static void pause() {
        try {
            Thread.sleep(50);
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
        }
    }

    private String run(World world) throws Exception {
        String topic = world.topic(QUEUES);
        Got asItComes = new Got();
        Got inOrder = new Got();
        DefaultMQPushConsumer first = world.push(world.fresh("g"), topic, "*");
        first.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            asItComes.take(messages, false);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        first.start();
        DefaultMQPushConsumer second = world.push(world.fresh("g"), topic, "*");
        second.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            inOrder.take(messages, true);
            return ConsumeOrderlyStatus.SUCCESS;
        });
        second.start();
        DefaultMQProducer producer = world.unstartedProducer();
        producer.setSendMsgTimeout(3_000);
        producer.start();
        List<Thread> senders = new ArrayList<>();
        for (int i = 0; i < SENDERS; i++) {
            Thread sender = new Thread(() -> send(producer, topic));
            sender.start();
            senders.add(sender);
        }
        await("messages at both groups", () -> !asItComes.numbers.isEmpty() && !inOrder.numbers.isEmpty());
        System.out.println("ready");
        new BufferedReader(new InputStreamReader(System.in)).readLine();
        enough.set(true);
        for (Thread sender : senders) {
            sender.join();
        }
        for (Got got : List.of(asItComes, inOrder)) {
            String which = got == inOrder ? "the group that consumes in order" : "the group that consumes as it comes";
            await(DRAIN_SECONDS, "all " + acknowledged.size() + " at " + which + ", which has " + got.numbers.size(),
                () -> got.wrong != null || got.numbers.containsAll(acknowledged));
            check(got.wrong == null, got.wrong + " at " + which);
            Set<Integer> strangers = new TreeSet<>(got.numbers);
            strangers.removeAll(acknowledged);
            strangers.removeAll(unknown);
            check(strangers.isEmpty(), "nobody sent " + strangers);
        }
        return String.format("%d acknowledged, %d without an answer, %d and %d consumed again", acknowledged.size(), unknown.size(),
            asItComes.again.get(), inOrder.again.get());
    }

    public static void main(String[] args) {
        String outcome;
        boolean passed = false;
        try {
            outcome = new Faults().run(new World(args[0], "faults"));
            passed = true;
        } catch (Throwable thrown) {
            outcome = thrown instanceof AssertionError ? thrown.getMessage() : thrown.toString();
        }
        System.out.println((passed ? "ok" : "FAILED") + " faults: " + outcome.replace('\n', ' '));
        System.out.println(passed ? "1 passed, 0 failed" : "0 passed, 1 failed");
        Runtime.getRuntime().halt(passed ? 0 : 1);
    }
}

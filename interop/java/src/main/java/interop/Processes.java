package interop;

import static interop.World.*;

import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.regex.*;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.*;

/** What needs a process of its own: the quickstart of the published examples, a consumer that is killed. */
public final class Processes {
    static void register(Map<String, Main.Scenario> all) {
        if (Versions.HAS_EXAMPLE) {
            all.put("quickstart", Processes::quickstart);
        }
    }

    static Process java(String main, String namesrv, String... args) throws IOException {
        List<String> command = new ArrayList<>(List.of(ProcessHandle.current().info().command().orElse("java"),
            "-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Drocketmq.namesrv.addr=" + namesrv,
            "-Duser.home=" + System.getProperty("user.home"), "-cp", System.getProperty("java.class.path"), main));
        command.addAll(List.of(args));
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        if (!main.startsWith("org.apache")) {
            builder.redirectOutput(ProcessBuilder.Redirect.DISCARD);
        }
        return builder.start();
    }

    /** A consumer that lives until it is killed: GROUP TOPIC. */
    public static void main(String[] args) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(args[0]);
        consumer.subscribe(args[1], "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
        consumer.start();
    }

    private static void quickstart(World world) throws Exception {
        Process producer = java("org.apache.rocketmq.example.quickstart.Producer", world.namesrv);
        world.keep(() -> producer.destroyForcibly());
        List<String> lines = new ArrayList<>();
        reading(producer, lines::add).join(120_000);
        check(producer.waitFor(5, TimeUnit.SECONDS), "the quickstart producer does not end");
        Pattern sent = Pattern.compile("SendResult \\[sendStatus=SEND_OK, msgId=[0-9A-F]+, offsetMsgId=([0-9A-F]+)");
        Set<String> ids = new HashSet<>();
        for (String line : lines) {
            Matcher matcher = sent.matcher(line);
            if (matcher.find()) {
                ids.add(matcher.group(1));
            }
        }
        equal(1000, ids.size(), "messages that the quickstart producer sent; it said " + (lines.isEmpty() ? "nothing" : lines.get(lines.size() - 1)));

        Process consumer = java("org.apache.rocketmq.example.quickstart.Consumer", world.namesrv);
        world.keep(() -> consumer.destroyForcibly());
        Set<String> received = ConcurrentHashMap.newKeySet();
        // what the consumer prints as msgId is the offset id
        Pattern got = Pattern.compile(", msgId=([0-9A-F]+)");
        reading(consumer, line -> {
            Matcher matcher = got.matcher(line);
            while (matcher.find()) {
                received.add(matcher.group(1));
            }
        });
        await("all 1000 at the quickstart consumer", () -> received.containsAll(ids));
        consumer.destroy();
        check(consumer.waitFor(30, TimeUnit.SECONDS), "the quickstart consumer does not end");
    }

    private interface Line {
        void read(String line);
    }

    private static Thread reading(Process process, Line each) {
        Thread thread = new Thread(() -> {
            try (BufferedReader in = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
                for (String line = in.readLine(); line != null; line = in.readLine()) {
                    each.read(line);
                }
            } catch (IOException ended) {
                // the process was destroyed
            }
        });
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    private Processes() {
    }
}

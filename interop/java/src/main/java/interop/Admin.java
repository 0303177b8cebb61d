package interop;

import static interop.World.*;

import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.regex.*;
import org.apache.rocketmq.client.consumer.*;
import org.apache.rocketmq.client.producer.*;
import org.apache.rocketmq.common.message.*;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;
import org.apache.rocketmq.tools.command.MQAdminStartup;

/** mqadmin as operators run it; the figures in its text are checked. */
final class Admin {
    static void register(Map<String, Main.Scenario> all) {
        all.put("mqadmin-clusterList", Admin::clusterList);
        all.put("mqadmin-brokerStatus", Admin::brokerStatus);
        all.put("mqadmin-getBrokerConfig", Admin::getBrokerConfig);
        all.put("mqadmin-updateTopic-topicRoute", Admin::updateTopic);
        all.put("mqadmin-topicList", Admin::topicList);
        all.put("mqadmin-topicStatus", Admin::topicStatus);
        all.put("mqadmin-deleteTopic", Admin::deleteTopic);
        all.put("mqadmin-updateSubGroup", Admin::updateSubGroup);
        all.put("mqadmin-consumerProgress", Admin::consumerProgress);
        all.put("mqadmin-updateKvConfig", Admin::updateKvConfig);
        all.put("mqadmin-wipeWritePerm-addWritePerm", Admin::writePerm);
    }

    /** What the command prints, whatever it is; System.out and System.err are its only ways to say anything. */
    private static String attempt(World world, String... args) throws Exception {
        PrintStream out = System.out;
        PrintStream err = System.err;
        ByteArrayOutputStream text = new ByteArrayOutputStream();
        List<String> all = new ArrayList<>(List.of(args));
        all.addAll(List.of("-n", world.namesrv));
        try (PrintStream both = new PrintStream(text, true, StandardCharsets.UTF_8)) {
            System.setOut(both);
            System.setErr(both);
            MQAdminStartup.main0(all.toArray(String[]::new), null);
        } finally {
            System.setOut(out);
            System.setErr(err);
        }
        String said = text.toString(StandardCharsets.UTF_8);
        if (System.getenv("INTEROP_TRACE") != null) {
            out.println("--- " + String.join(" ", args) + "\n" + said);
        }
        return said;
    }

    private static String mqadmin(World world, String... args) throws Exception {
        String said = attempt(world, args);
        check(!said.contains("Exception"), String.join(" ", args) + ": " + said);
        return said;
    }

    /** The rows under the header line, split at blanks. */
    private static List<String[]> rows(String table, String firstColumn) {
        List<String[]> rows = new ArrayList<>();
        for (String line : table.split("\n")) {
            if (!line.isBlank() && !line.startsWith("#") && line.startsWith(firstColumn)) {
                rows.add(line.trim().split("\\s+"));
            }
        }
        return rows;
    }

    private record Broker(String cluster, String name, String address) {
    }

    private static Broker broker(World world) throws Exception {
        String route = route(world, "TBW102");
        return new Broker(field(route, "cluster"), field(route, "brokerName"), field(route, "\\{\"?0"));
    }

    private static String field(String json, String name) {
        Matcher matcher = Pattern.compile((name.startsWith("\\") ? name : "\"" + name) + "\"?:\"([^\"]*)\"").matcher(json);
        check(matcher.find(), "no " + name + " in " + json);
        return matcher.group(1);
    }

    private static void clusterList(World world) throws Exception {
        Broker broker = broker(world);
        if (!Versions.HAS_EXAMPLE && !Boolean.getBoolean("interop.gantry")) {
            return; // mqadmin 4.9.8 reads a figure that Apache 5.x spells differently, and stops; both spellings are there in Gantry
        }
        String[] cells = rows(mqadmin(world, "clusterList"), broker.cluster).get(0);
        equal("0", cells[2], "broker id");
        check(cells[4].matches("V[45]_\\d+_\\d+"), "version " + cells[4]);
        world.topic(1);
        String more = mqadmin(world, "clusterList", "-m");
        check(more.contains(broker.name), "clusterList -m: " + more);
    }

    private static void brokerStatus(World world) throws Exception {
        Broker broker = broker(world);
        Map<String, String> before = status(mqadmin(world, "brokerStatus", "-b", broker.address));
        for (String key : List.of("bootTimestamp", "brokerVersionDesc", "commitLogDirCapacity", "commitLogDiskRatio", "commitLogMaxOffset",
                "commitLogMinOffset", "consumeQueueDiskRatio", "dispatchBehindBytes", "earliestMessageTimeStamp", "getFoundTps", "getMissTps",
                "getTotalTps", "msgGetTotalTodayNow", "msgPutTotalTodayNow", "pageCacheLockTimeMills", "pullThreadPoolQueueSize",
                "putMessageAverageSize", "putMessageDistributeTime", "putMessageEntireTimeMax", "putMessageSizeTotal", "putMessageTimesTotal",
                "putTps", "remainHowManyDataToFlush", "runtime", "sendThreadPoolQueueCapacity", "sendThreadPoolQueueHeadWaitTimeMills",
                "sendThreadPoolQueueSize", "startAcceptSendRequestTimeStamp")) {
            check(before.containsKey(key), "brokerStatus lacks " + key);
        }
        check(before.get("putTps").matches("[0-9.]+( [0-9.]+)+"), "putTps " + before.get("putTps"));
        String topic = world.topic(1);
        world.send(world.producer(), topic, 0, 10);
        Map<String, String> after = status(mqadmin(world, "brokerStatus", "-b", broker.address));
        check(number(after, "putMessageTimesTotal") >= number(before, "putMessageTimesTotal") + 10, "putMessageTimesTotal does not count");
        check(number(after, "commitLogMaxOffset") > number(before, "commitLogMaxOffset"), "commitLogMaxOffset does not grow");
        check(status(mqadmin(world, "brokerStatus", "-c", broker.cluster)).size() > 20, "brokerStatus -c");
    }

    private static long number(Map<String, String> status, String key) {
        return Long.parseLong(status.get(key));
    }

    private static Map<String, String> status(String text) {
        Map<String, String> all = new TreeMap<>();
        for (String line : text.split("\n")) {
            int colon = line.indexOf(": ");
            if (colon > 0) {
                String[] key = line.substring(0, colon).trim().split("\\s+");
                all.put(key[key.length - 1], line.substring(colon + 2).trim());
            }
        }
        return all;
    }

    private static void getBrokerConfig(World world) throws Exception {
        Broker broker = broker(world);
        String text = mqadmin(world, "getBrokerConfig", "-b", broker.address);
        Map<String, String> config = new TreeMap<>();
        for (String line : text.split("\n")) {
            String[] parts = line.split("\\s+=\\s+", 2);
            if (parts.length == 2) {
                config.put(parts[0].trim(), parts[1].trim());
            }
        }
        equal(broker.name, config.get("brokerName"), "brokerName");
        equal(broker.cluster, config.get("brokerClusterName"), "brokerClusterName");
        equal("0", config.get("brokerId"), "brokerId");
        equal("true", config.get("autoCreateTopicEnable"), "autoCreateTopicEnable");
        equal("4194304", config.get("maxMessageSize"), "maxMessageSize");
        check(broker.address.endsWith(":" + config.get("listenPort")), "listenPort " + config.get("listenPort"));
        check(config.containsKey("flushDiskType") && config.containsKey("storePathRootDir"), "store keys are missing");
    }

    private static void updateTopic(World world) throws Exception {
        Broker broker = broker(world);
        String topic = world.fresh("t");
        String said = mqadmin(world, "updateTopic", "-c", broker.cluster, "-t", topic, "-r", "6", "-w", "5");
        check(said.contains("create topic to " + broker.address + " success."), said);
        await("route with 6 and 5 queues", () -> route(world, topic).contains("\"readQueueNums\":6") && route(world, topic).contains("\"writeQueueNums\":5"));
        String route = route(world, topic);
        check(route.contains("\"" + broker.name + "\"") && route.contains(broker.address) && route.contains("\"perm\":6"), route);
        said = mqadmin(world, "updateTopic", "-b", broker.address, "-t", topic, "-r", "2", "-w", "2", "-p", "4");
        check(said.contains("create topic to " + broker.address + " success."), said);
        await("route with perm 4", () -> route(world, topic).contains("\"perm\":4") && route(world, topic).contains("\"readQueueNums\":2"));
    }

    private static String route(World world, String topic) throws Exception {
        return mqadmin(world, "topicRoute", "-t", topic).replaceAll("\\s", "");
    }

    private static void topicList(World world) throws Exception {
        String topic = world.topic(1);
        List<String> listed = List.of(mqadmin(world, "topicList").split("\\s+"));
        check(listed.contains(topic) && listed.contains("TBW102"), "topicList: " + listed);
        String withClusters = mqadmin(world, "topicList", "-c");
        check(withClusters.contains(topic), "topicList -c lacks " + topic);
    }

    private static void topicStatus(World world) throws Exception {
        String topic = world.topic(3);
        DefaultMQProducer producer = world.producer();
        List<MessageQueue> queues = queues(producer, topic);
        for (int i = 0; i < 10; i++) {
            producer.send(new Message(topic, bytes("m" + i)), queues.get(i < 7 ? 0 : 2));
        }
        await("7, 0, 3 messages in topicStatus", () -> {
            List<String> figures = new ArrayList<>();
            for (String[] cells : rows(mqadmin(world, "topicStatus", "-t", topic), queues.get(0).getBrokerName())) {
                figures.add(cells[1] + ":" + cells[2] + "-" + cells[3] + (cells.length > 4));
            }
            Collections.sort(figures);
            return figures.equals(List.of("0:0-7true", "1:0-0false", "2:0-3true"));
        });
    }

    private static void deleteTopic(World world) throws Exception {
        Broker broker = broker(world);
        String topic = world.topic(2);
        String said = mqadmin(world, "deleteTopic", "-c", broker.cluster, "-t", topic);
        check(said.contains("delete topic [" + topic + "] from cluster [" + broker.cluster + "] success."), said);
        check(said.contains("delete topic [" + topic + "] from NameServer success."), said);
        equal(List.of(), queues(world.producer(), topic), "queues of the deleted topic");
        check(!List.of(mqadmin(world, "topicList").split("\\s+")).contains(topic), "still in topicList");
        // the same name again is a new topic
        Versions.createTopic(world.producer(), topic, 1);
        DefaultMQProducer producer = world.producer();
        await("the topic again", () -> queues(producer, topic).size() == 1);
        equal(0L, sumOfMaxOffsets(producer, topic), "messages in the new topic");
    }

    private static void updateSubGroup(World world) throws Exception {
        Broker broker = broker(world);
        String group = world.fresh("g");
        String said = mqadmin(world, "updateSubGroup", "-c", broker.cluster, "-g", group, "-r", "3");
        check(said.contains("create subscription group to " + broker.address + " success."), said);
        check(said.contains("retryMaxTimes=3"), said);
        said = mqadmin(world, "updateSubGroup", "-b", broker.address, "-g", group, "-s", "false");
        check(said.contains("create subscription group to " + broker.address + " success."), said);
        String topic = world.topic(1);
        world.send(world.producer(), topic, 0, 1);
        DefaultMQPullConsumer consumer = world.pull(group);
        MessageQueue queue = consumer.fetchSubscribeMessageQueues(topic).iterator().next();
        try {
            consumer.pull(queue, "*", 0, 1);
            throw new AssertionError("a group with consumeEnable=false can pull");
        } catch (org.apache.rocketmq.client.exception.MQBrokerException refused) {
            equal(16, refused.getResponseCode(), "code");
            check(refused.getErrorMessage().startsWith("subscription group no permission, " + group), refused.getErrorMessage());
        }
    }

    private static void consumerProgress(World world) throws Exception {
        String topic = world.topic(2);
        String group = world.fresh("g");
        DefaultMQProducer producer = world.producer();
        for (int i = 0; i < 10; i++) {
            producer.send(new Message(topic, bytes("m" + i)), queues(producer, topic).get(i % 2));
        }
        Collection<MessageExt> seen = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer consumer = world.collecting(group, topic, "*", seen);
        consumer.start();
        await("10 messages", () -> seen.size() == 10);
        await("no lag in consumerProgress -g", () -> {
            consumer.getDefaultMQPushConsumerImpl().persistConsumerOffset();
            String text = attempt(world, "consumerProgress", "-g", group);
            return figures(text, topic).equals(List.of("5 5 0", "5 5 0")) && total(text) == 0;
        });
        await("the group in consumerProgress", () -> {
            for (String[] cells : rows(mqadmin(world, "consumerProgress"), group.substring(0, Math.min(64, group.length())))) {
                return cells[1].equals("1") && cells[cells.length - 1].equals("0");
            }
            return false;
        });
        consumer.shutdown();
        for (int i = 0; i < 6; i++) {
            producer.send(new Message(topic, bytes("n" + i)), queues(producer, topic).get(i < 4 ? 0 : 1));
        }
        await("a lag of 4 and 2", () -> {
            String text = mqadmin(world, "consumerProgress", "-g", group);
            return figures(text, topic).equals(List.of("7 5 2", "9 5 4")) && total(text) == 6;
        });
    }

    /** broker offset, consumer offset, difference of each queue. */
    private static List<String> figures(String text, String topic) {
        List<String> all = new ArrayList<>();
        for (String[] cells : rows(text, topic.substring(0, Math.min(32, topic.length())))) {
            int first = 3;
            while (!cells[first].matches("\\d+")) {
                first++;
            }
            // 5.x puts "Consumer Offset" right after "Broker Offset" too; the difference follows
            all.add(cells[first] + " " + cells[first + 1] + " " + cells[first + 2]);
        }
        Collections.sort(all);
        return all;
    }

    private static long total(String text) {
        for (String line : text.split("\n")) {
            if (line.contains("Diff Total:")) {
                return Long.parseLong(line.replaceAll("[^0-9]", ""));
            }
        }
        return -1;
    }

    private static void updateKvConfig(World world) throws Exception {
        String key = world.fresh("k");
        String said = mqadmin(world, "updateKvConfig", "-s", "interop", "-k", key, "-v", "value one");
        check(said.contains("create or update kv config to namespace success."), said);
        DefaultMQAdminExt admin = new DefaultMQAdminExt(world.fresh("admin"));
        admin.setNamesrvAddr(world.namesrv);
        admin.setInstanceName(world.fresh("i"));
        admin.start();
        world.keep(admin::shutdown);
        equal("value one", admin.getKVConfig("interop", key), "value");
        said = mqadmin(world, "deleteKvConfig", "-s", "interop", "-k", key);
        check(said.contains("delete kv config from namespace success."), said);
        try {
            admin.getKVConfig("interop", key);
            throw new AssertionError("still there");
        } catch (org.apache.rocketmq.client.exception.MQClientException gone) {
            equal(22, gone.getResponseCode(), "code of a missing key");
        }
    }

    private static void writePerm(World world) throws Exception {
        Broker broker = broker(world);
        String topic = world.topic(1);
        String said = mqadmin(world, "wipeWritePerm", "-b", broker.name);
        String wiped = route(world, topic);
        String given = mqadmin(world, "addWritePerm", "-b", broker.name);
        check(said.matches("(?s)wipe write perm of broker\\[" + broker.name + "\\] ?in name server\\[" + world.namesrv + "\\] OK, [1-9]\\d*.*"), said);
        check(wiped.contains("\"perm\":4"), "perm after wipeWritePerm: " + wiped);
        check(given.matches("(?s)add write perm of broker\\[" + broker.name + "\\] ?in name server\\[" + world.namesrv + "\\] OK, [1-9]\\d*.*"), given);
        check(route(world, topic).contains("\"perm\":6"), "perm after addWritePerm: " + route(world, topic));
        world.send(world.producer(), topic, 0, 1);
    }

    private Admin() {
    }
}

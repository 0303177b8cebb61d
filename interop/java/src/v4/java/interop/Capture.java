package interop;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.*;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.common.*;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.*;
import org.apache.rocketmq.common.protocol.body.*;
import org.apache.rocketmq.common.protocol.header.*;
import org.apache.rocketmq.common.protocol.header.namesrv.*;
import org.apache.rocketmq.common.protocol.heartbeat.*;
import org.apache.rocketmq.common.protocol.route.*;
import org.apache.rocketmq.remoting.CommandCustomHeader;
import org.apache.rocketmq.remoting.protocol.*;

/** Writes the golden bytes of the published 4.9.8 jars, only those that differ from 5.5.0's: Capture DIR. */
public final class Capture {
    private static final long BORN = 1_700_000_000_000L;
    private static final String TEXT = "grüße 世界 🚀";
    private static Path dir;
    private static int opaque = 100;

    public static void main(String[] args) throws Exception {
        dir = Path.of(args[0]);
        System.setProperty(RemotingCommand.REMOTING_VERSION_KEY, Integer.toString(MQVersion.CURRENT_VERSION));
        for (SerializeType type : SerializeType.values()) {
            opaque = 100;
            SendMessageRequestHeader one = sendHeader(false);
            frame(type, "send-v1", request(10, one), TEXT.getBytes(StandardCharsets.UTF_8));
            frame(type, "send-v2", request(310, SendMessageRequestHeaderV2.createSendMessageRequestHeaderV2(one)), TEXT.getBytes(StandardCharsets.UTF_8));
            frame(type, "heartbeat", request(34, null), heartbeat().encode());
            register(type, "register-broker", false);
            register(type, "register-broker-compressed", true);
            frame(type, "route-response", answer(RemotingCommand.createResponseCommand(0, null)), routeData().encode());
        }
    }

    private static SendMessageRequestHeader sendHeader(boolean batch) {
        SendMessageRequestHeader header = new SendMessageRequestHeader();
        header.setProducerGroup("producers");
        header.setTopic("orders");
        header.setDefaultTopic("TBW102");
        header.setDefaultTopicQueueNums(4);
        header.setQueueId(3);
        header.setSysFlag(0);
        header.setBornTimestamp(BORN);
        header.setFlag(7);
        header.setProperties(batch ? MessageDecoder.messageProperties2String(Map.of("WAIT", "true")) : properties());
        header.setReconsumeTimes(0);
        header.setUnitMode(false);
        header.setMaxReconsumeTimes(0);
        header.setBatch(batch);
        return header;
    }

    private static String properties() {
        Map<String, String> all = new LinkedHashMap<>();
        all.put("KEYS", "k1 schlüssel");
        all.put("UNIQ_KEY", "7F0000010001000000000000000000AA");
        all.put("WAIT", "true");
        all.put("TAGS", "created");
        all.put("größe", TEXT);
        return MessageDecoder.messageProperties2String(all);
    }

    private static HeartbeatData heartbeat() {
        SubscriptionData tags = new SubscriptionData("orders", "A || B");
        tags.setTagsSet(new LinkedHashSet<>(List.of("A", "B")));
        tags.setCodeSet(new LinkedHashSet<>(List.of("A".hashCode(), "B".hashCode())));
        tags.setSubVersion(BORN);
        SubscriptionData retry = new SubscriptionData("%RETRY%group-1", "*");
        retry.setSubVersion(BORN + 1);
        ConsumerData consumer = new ConsumerData();
        consumer.setGroupName("group-1");
        consumer.setConsumeType(ConsumeType.CONSUME_PASSIVELY);
        consumer.setMessageModel(MessageModel.CLUSTERING);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET);
        consumer.setSubscriptionDataSet(new LinkedHashSet<>(List.of(tags, retry)));
        ProducerData producer = new ProducerData();
        producer.setGroupName("producers");
        HeartbeatData data = new HeartbeatData();
        data.setClientID("127.0.0.1@1#2");
        data.setProducerDataSet(new LinkedHashSet<>(List.of(producer)));
        data.setConsumerDataSet(new LinkedHashSet<>(List.of(consumer)));
        return data;
    }

    private static TopicRouteData routeData() {
        HashMap<Long, String> addresses = new HashMap<>();
        addresses.put(0L, "10.1.2.3:10911");
        addresses.put(1L, "10.1.2.4:10911");
        QueueData queue = new QueueData();
        queue.setBrokerName("broker-a");
        queue.setReadQueueNums(8);
        queue.setWriteQueueNums(8);
        queue.setPerm(6);
        TopicRouteData route = new TopicRouteData();
        route.setBrokerDatas(List.of(new BrokerData("DefaultCluster", "broker-a", addresses)));
        route.setQueueDatas(List.of(queue));
        route.setFilterServerTable(new HashMap<>());
        return route;
    }

    private static void register(SerializeType type, String name, boolean compressed) throws Exception {
        TopicConfigSerializeWrapper topics = new TopicConfigSerializeWrapper();
        ConcurrentHashMap<String, TopicConfig> table = new ConcurrentHashMap<>();
        table.put("orders", new TopicConfig("orders", 8, 8, 6));
        table.put("TBW102", new TopicConfig("TBW102", 8, 8, 7));
        topics.setTopicConfigTable(table);
        topics.setDataVersion(version(7));
        RegisterBrokerBody body = new RegisterBrokerBody();
        body.setTopicConfigSerializeWrapper(topics);
        body.setFilterServerList(new ArrayList<>());
        byte[] bytes = body.encode(compressed);
        RegisterBrokerRequestHeader header = new RegisterBrokerRequestHeader();
        header.setBrokerName("broker-a");
        header.setBrokerAddr("10.1.2.3:10911");
        header.setClusterName("DefaultCluster");
        header.setHaServerAddr("10.1.2.3:10912");
        header.setBrokerId(0L);
        header.setCompressed(compressed);
        header.setBodyCrc32(UtilAll.crc32(bytes));
        frame(type, name, request(103, header), bytes);
    }

    private static DataVersion version(long counter) {
        DataVersion version = new DataVersion();
        version.setTimestamp(BORN);
        version.setCounter(new AtomicLong(counter));
        return version;
    }

    private static RemotingCommand request(int code, CommandCustomHeader header) {
        RemotingCommand command = RemotingCommand.createRequestCommand(code, header);
        command.setOpaque(opaque++);
        return command;
    }

    private static RemotingCommand answer(RemotingCommand command) {
        command.setOpaque(opaque++);
        command.setVersion(MQVersion.CURRENT_VERSION);
        command.markResponseType();
        return command;
    }

    private static byte[] bytes(SerializeType type, RemotingCommand command, byte[] body) {
        command.setSerializeTypeCurrentRPC(type);
        command.setBody(body);
        ByteBuf out = Unpooled.buffer();
        command.fastEncodeHeader(out);
        if (body != null) {
            out.writeBytes(body);
        }
        byte[] bytes = new byte[out.readableBytes()];
        out.readBytes(bytes);
        return bytes;
    }

    private static void frame(SerializeType type, String name, RemotingCommand command, byte[] body) throws IOException {
        write(name + (type == SerializeType.JSON ? ".json.4.9" : ".rocketmq.4.9"), bytes(type, command, body));
    }

    private static void write(String name, byte[] bytes) throws IOException {
        Files.write(dir.resolve(name + ".bin"), bytes);
        System.out.printf("%s %d%n", name, bytes.length);
    }

    private Capture() {
    }
}

package interop;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.io.DataInputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.*;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.common.MQVersion;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.UtilAll;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.*;
import org.apache.rocketmq.remoting.CommandCustomHeader;
import org.apache.rocketmq.remoting.protocol.*;
import org.apache.rocketmq.remoting.protocol.admin.*;
import org.apache.rocketmq.remoting.protocol.body.*;
import org.apache.rocketmq.remoting.protocol.header.*;
import org.apache.rocketmq.remoting.protocol.header.namesrv.*;
import org.apache.rocketmq.remoting.protocol.heartbeat.*;
import org.apache.rocketmq.remoting.protocol.route.*;
import org.apache.rocketmq.store.MessageExtEncoder;
import org.apache.rocketmq.store.config.MessageStoreConfig;

/**
 * Writes the golden bytes of the published 5.5.0 jars: Capture DIR [NAMESRV BROKER].
 * Without addresses only what is built here, which is the same on every run; with them also what a running broker answers.
 */
public final class Capture {
    private static final long BORN = 1_700_000_000_000L;
    private static final long STORED = 1_700_000_000_123L;
    private static final String TEXT = "grüße 世界 🚀";
    private static Path dir;
    private static int opaque = 100;

    public static void main(String[] args) throws Exception {
        dir = Path.of(args[0]);
        System.setProperty(RemotingCommand.REMOTING_VERSION_KEY, Integer.toString(MQVersion.CURRENT_VERSION));
        if (args.length == 1) {
            for (SerializeType type : SerializeType.values()) {
                opaque = 100;
                requests(type);
                responses(type);
            }
            records();
        } else {
            live(args[1], args[2]);
        }
    }

    // ---- frames -----------------------------------------------------------------------------------------------

    private static void requests(SerializeType type) throws Exception {
        SendMessageRequestHeader one = sendHeader(false);
        frame(type, "send-v1", request(10, one), TEXT.getBytes(StandardCharsets.UTF_8));
        frame(type, "send-v2", request(310, SendMessageRequestHeaderV2.createSendMessageRequestHeaderV2(one)), TEXT.getBytes(StandardCharsets.UTF_8));
        frame(type, "send-batch", request(320, SendMessageRequestHeaderV2.createSendMessageRequestHeaderV2(sendHeader(true))), batchBody());

        PullMessageRequestHeader pull = new PullMessageRequestHeader();
        pull.setConsumerGroup("group-1");
        pull.setTopic("orders");
        pull.setQueueId(3);
        pull.setQueueOffset(41L);
        pull.setMaxMsgNums(32);
        pull.setSysFlag(7);
        pull.setCommitOffset(40L);
        pull.setSuspendTimeoutMillis(15000L);
        pull.setSubscription("A || B");
        pull.setSubVersion(BORN);
        pull.setExpressionType("TAG");
        pull.setMaxMsgBytes(Integer.MAX_VALUE);
        frame(type, "pull", request(11, pull), null);

        frame(type, "heartbeat", request(34, null), heartbeat().encode());

        GetRouteInfoRequestHeader route = new GetRouteInfoRequestHeader();
        route.setTopic("orders");
        frame(type, "route", request(105, route), null);
        GetRouteInfoRequestHeader standard = new GetRouteInfoRequestHeader();
        standard.setTopic("orders");
        standard.setAcceptStandardJsonOnly(true);
        frame(type, "route-standard-json", request(105, standard), null);

        register(type, "register-broker", false);
        register(type, "register-broker-compressed", true);

        QueryConsumerOffsetRequestHeader query = new QueryConsumerOffsetRequestHeader();
        query.setConsumerGroup("group-1");
        query.setTopic("orders");
        query.setQueueId(3);
        frame(type, "query-consumer-offset", request(14, query), null);

        UpdateConsumerOffsetRequestHeader update = new UpdateConsumerOffsetRequestHeader();
        update.setConsumerGroup("group-1");
        update.setTopic("orders");
        update.setQueueId(3);
        update.setCommitOffset(9_007_199_254_740_993L);
        RemotingCommand oneway = request(15, update);
        oneway.markOnewayRPC();
        frame(type, "update-consumer-offset-oneway", oneway, null);

        LockBatchRequestBody lock = new LockBatchRequestBody();
        lock.setConsumerGroup("group-1");
        lock.setClientId("127.0.0.1@1#2");
        lock.setMqSet(new LinkedHashSet<>(queues()));
        frame(type, "lock-batch", request(41, null), lock.encode());

        GetConsumerListByGroupRequestHeader list = new GetConsumerListByGroupRequestHeader();
        list.setConsumerGroup("group-1");
        frame(type, "consumer-list", request(38, list), null);

        NotifyConsumerIdsChangedRequestHeader notify = new NotifyConsumerIdsChangedRequestHeader();
        notify.setConsumerGroup("group-1");
        RemotingCommand push = request(40, notify);
        push.markOnewayRPC();
        frame(type, "notify-consumer-ids-changed-oneway", push, null);
    }

    private static void responses(SerializeType type) throws Exception {
        SendMessageResponseHeader sent = new SendMessageResponseHeader();
        sent.setMsgId("0A01020300002A9F0000000000000400");
        sent.setQueueId(3);
        sent.setQueueOffset(41L);
        sent.setTransactionId("7F0000010001000000000000000000AA");
        RemotingCommand ok = RemotingCommand.createResponseCommandWithHeader(0, sent);
        ok.addExtField("MSG_REGION", "DefaultRegion");
        ok.addExtField("TRACE_ON", "true");
        frame(type, "send-response", answer(ok), null);

        byte[] two = ByteBuffer.allocate(4096).put(record(0)).put(record(1)).flip().array();
        int length = record(0).length + record(1).length;
        frame(type, "pull-response-found", pulled(0, "FOUND", 43, 0, 43), Arrays.copyOf(two, length));
        frame(type, "pull-response-not-found", pulled(19, "OFFSET_OVERFLOW_ONE", 43, 0, 43), null);
        frame(type, "pull-response-retry", pulled(20, "NO_MATCHED_MESSAGE", 43, 0, 43), null);
        frame(type, "pull-response-moved", pulled(21, "OFFSET_OVERFLOW_BADLY", 43, 0, 43), null);

        TopicRouteData route = routeData();
        frame(type, "route-response", answer(RemotingCommand.createResponseCommand(0, null)), route.encode());
        frame(type, "route-response-standard-json", answer(RemotingCommand.createResponseCommand(0, null)),
            route.encode(com.alibaba.fastjson2.JSONWriter.Feature.BrowserCompatible, com.alibaba.fastjson2.JSONWriter.Feature.MapSortField));

        RegisterBrokerResponseHeader registered = new RegisterBrokerResponseHeader();
        registered.setHaServerAddr("10.1.2.3:10912");
        registered.setMasterAddr("10.1.2.3:10911");
        KVTable orders = new KVTable();
        orders.setTable(new HashMap<>(Map.of("orders", "broker-a:8;broker-b:8")));
        frame(type, "register-broker-response-kv", answer(RemotingCommand.createResponseCommandWithHeader(0, registered)), orders.encode());

        QueryConsumerOffsetResponseHeader offset = new QueryConsumerOffsetResponseHeader();
        offset.setOffset(41L);
        frame(type, "query-consumer-offset-response", answer(RemotingCommand.createResponseCommandWithHeader(0, offset)), null);

        LockBatchResponseBody locked = new LockBatchResponseBody();
        locked.setLockOKMQSet(new LinkedHashSet<>(queues()));
        frame(type, "lock-batch-response", answer(RemotingCommand.createResponseCommand(0, null)), locked.encode());

        GetConsumerListByGroupResponseBody ids = new GetConsumerListByGroupResponseBody();
        ids.setConsumerIdList(List.of("127.0.0.1@1#2", "127.0.0.1@3#4"));
        frame(type, "consumer-list-response", answer(RemotingCommand.createResponseCommand(0, null)), ids.encode());

        TopicStatsTable stats = new TopicStatsTable();
        Map<MessageQueue, TopicOffset> offsets = new LinkedHashMap<>();
        for (MessageQueue queue : queues()) {
            TopicOffset entry = new TopicOffset();
            entry.setMinOffset(0);
            entry.setMaxOffset(41 + queue.getQueueId());
            entry.setLastUpdateTimestamp(STORED);
            offsets.put(queue, entry);
        }
        stats.setOffsetTable(offsets);
        frame(type, "topic-stats-response", answer(RemotingCommand.createResponseCommand(0, null)), stats.encode());

        ConsumeStats progress = new ConsumeStats();
        Map<MessageQueue, OffsetWrapper> lag = new LinkedHashMap<>();
        for (MessageQueue queue : queues()) {
            OffsetWrapper entry = new OffsetWrapper();
            entry.setBrokerOffset(41);
            entry.setConsumerOffset(40);
            entry.setPullOffset(41);
            entry.setLastTimestamp(STORED);
            lag.put(queue, entry);
        }
        progress.setOffsetTable(lag);
        progress.setConsumeTps(1.5);
        frame(type, "consume-stats-response", answer(RemotingCommand.createResponseCommand(0, null)), progress.encode());

        frame(type, "error-response", answer(RemotingCommand.createResponseCommand(17, "topic[grüße] not exist, apply first please!")), null);
        RemotingCommand empty = answer(RemotingCommand.createResponseCommand(0, null));
        empty.setExtFields(new HashMap<>());
        frame(type, "response-empty-ext-fields", empty, null);
        frame(type, "response-null-remark", answer(RemotingCommand.createResponseCommand(0, null)), null);
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
        header.setBrokerName("broker-a");
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

    private static byte[] batchBody() throws Exception {
        List<Message> messages = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            Message m = new Message("orders", i == 0 ? "" : "tag" + i, "k" + i, ("body " + i + " " + TEXT).getBytes(StandardCharsets.UTF_8));
            m.setFlag(i);
            m.putUserProperty("n", Integer.toString(i));
            messages.add(m);
        }
        messages.add(new Message("orders", new byte[] {1}));
        return MessageDecoder.encodeMessages(messages);
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
        TopicConfigAndMappingSerializeWrapper topics = new TopicConfigAndMappingSerializeWrapper();
        ConcurrentHashMap<String, TopicConfig> table = new ConcurrentHashMap<>();
        table.put("orders", new TopicConfig("orders", 8, 8, 6));
        table.put("TBW102", new TopicConfig("TBW102", 8, 8, 7));
        topics.setTopicConfigTable(table);
        topics.setDataVersion(version(7));
        topics.setMappingDataVersion(version(1));
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
        header.setHeartbeatTimeoutMillis(120000L);
        header.setEnableActingMaster(false);
        header.setCompressed(compressed);
        header.setBodyCrc32(UtilAll.crc32(bytes));
        frame(type, name, request(103, header), bytes);
    }

    private static DataVersion version(long counter) {
        DataVersion version = new DataVersion();
        version.setStateVersion(0);
        version.setTimestamp(BORN);
        version.setCounter(new AtomicLong(counter));
        return version;
    }

    private static List<MessageQueue> queues() {
        return List.of(new MessageQueue("orders", "broker-a", 0), new MessageQueue("orders", "broker-a", 1));
    }

    private static RemotingCommand pulled(int code, String remark, long next, long min, long max) {
        PullMessageResponseHeader header = new PullMessageResponseHeader();
        header.setSuggestWhichBrokerId(0L);
        header.setNextBeginOffset(next);
        header.setMinOffset(min);
        header.setMaxOffset(max);
        RemotingCommand command = RemotingCommand.createResponseCommandWithHeader(code, header);
        command.setRemark(remark);
        return answer(command);
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
        write(name + (type == SerializeType.JSON ? ".json" : ".rocketmq"), bytes(type, command, body));
    }

    private static void write(String name, byte[] bytes) throws IOException {
        Files.write(dir.resolve(name + ".bin"), bytes);
        System.out.printf("%s %d%n", name, bytes.length);
    }

    // ---- stored records ---------------------------------------------------------------------------------------

    private static byte[] record(int n) throws Exception {
        return MessageDecoder.encode(message(n, "10.1.2.3", "10.1.2.9"), false);
    }

    private static MessageExtBrokerInner message(int n, String storeHost, String bornHost) {
        MessageExtBrokerInner m = new MessageExtBrokerInner();
        m.setTopic("orders");
        m.setQueueId(3);
        m.setFlag(7);
        m.setBody((TEXT + " " + n).getBytes(StandardCharsets.UTF_8));
        m.setQueueOffset(41 + n);
        m.setCommitLogOffset(1024 + 512L * n);
        m.setBornTimestamp(BORN);
        m.setStoreTimestamp(STORED + n);
        m.setBornHost(new InetSocketAddress(bornHost, 51234));
        m.setStoreHost(new InetSocketAddress(storeHost, 10911));
        m.setReconsumeTimes(n);
        m.setPreparedTransactionOffset(0);
        m.setBodyCRC(UtilAll.crc32(m.getBody()));
        m.setPropertiesString(properties());
        MessageAccessor.setProperties(m, MessageDecoder.string2messageProperties(properties()));
        return m;
    }

    private static void records() throws Exception {
        write("record-v4-hosts", record(0));
        MessageExtBrokerInner six = message(0, "2001:db8::1", "2001:db8::9");
        six.setStoreHostAddressV6Flag();
        six.setBornHostV6Flag();
        write("record-v6-hosts", MessageDecoder.encode(six, false));
        MessageExtBrokerInner mixed = message(0, "10.1.2.3", "2001:db8::9");
        mixed.setBornHostV6Flag();
        write("record-v6-born-host", MessageDecoder.encode(mixed, false));
        // the broker's own encoder: queue offset, log offset and prepared offset are zero, they are filled in at append
        MessageExtBrokerInner plain = message(0, "10.1.2.3", "10.1.2.9");
        plain.setVersion(MessageVersion.MESSAGE_VERSION_V1);
        plain.setEncodedBuff(null);
        write("record-broker-encoder-v1", brokerEncoded(plain));
        MessageExtBrokerInner longTopic = message(0, "10.1.2.3", "10.1.2.9");
        longTopic.setTopic("%RETRY%" + "g".repeat(140));
        longTopic.setVersion(MessageVersion.MESSAGE_VERSION_V2);
        write("record-broker-encoder-v2-magic", brokerEncoded(longTopic));
        write("batch-body", batchBody());
        MessageExtBatch batch = new MessageExtBatch();
        batch.setTopic("orders");
        batch.setQueueId(3);
        batch.setBornTimestamp(BORN);
        batch.setStoreTimestamp(STORED);
        batch.setBornHost(new InetSocketAddress("10.1.2.9", 51234));
        batch.setStoreHost(new InetSocketAddress("10.1.2.3", 10911));
        batch.setBody(batchBody());
        MessageExtEncoder encoder = new MessageExtEncoder(new MessageStoreConfig());
        ByteBuffer encoded = encoder.encode(batch, new org.apache.rocketmq.store.PutMessageContext("orders-3"));
        byte[] bytes = new byte[encoded.remaining()];
        encoded.get(bytes);
        write("record-broker-encoder-batch", bytes);
    }

    private static byte[] brokerEncoded(MessageExtBrokerInner message) {
        MessageExtEncoder encoder = new MessageExtEncoder(new MessageStoreConfig());
        if (encoder.encode(message) != null) {
            throw new IllegalStateException("refused by the encoder");
        }
        ByteBuffer encoded = encoder.getEncoderBuffer();
        byte[] bytes = new byte[encoded.getInt(0)];
        encoded.get(0, bytes);
        return bytes;
    }

    // ---- what a running broker answers ------------------------------------------------------------------------

    private static void live(String namesrv, String broker) throws Exception {
        try (Peer ns = new Peer(namesrv); Peer b = new Peer(broker)) {
            String topic = "captured";
            CreateTopicRequestHeader create = new CreateTopicRequestHeader();
            create.setTopic(topic);
            create.setDefaultTopic("TBW102");
            create.setReadQueueNums(1);
            create.setWriteQueueNums(1);
            create.setPerm(6);
            create.setTopicFilterType("SINGLE_TAG");
            create.setTopicSysFlag(0);
            create.setOrder(false);
            b.ask(request(17, create), null);

            SendMessageRequestHeader one = sendHeader(false);
            one.setTopic(topic);
            one.setQueueId(0);
            byte[] body = TEXT.getBytes(StandardCharsets.UTF_8);
            write("live-send-response", b.ask(request(310, SendMessageRequestHeaderV2.createSendMessageRequestHeaderV2(one)), body));
            SendMessageRequestHeader many = sendHeader(true);
            many.setTopic(topic);
            many.setQueueId(0);
            write("live-send-batch-response", b.ask(request(320, SendMessageRequestHeaderV2.createSendMessageRequestHeaderV2(many)), batchBody()));

            write("live-heartbeat-response", b.ask(request(34, null), heartbeat().encode()));
            byte[] found = b.pull(topic, 0);
            for (int tries = 0; tries < 100 && !hasBody(found); tries++) {
                found = b.pull(topic, 0);
            }
            write("live-pull-response-found", found);
            ByteBuffer parts = ByteBuffer.wrap(found);
            int header = parts.getInt(4) & 0xFFFFFF;
            write("live-pulled-records", Arrays.copyOfRange(found, 8 + header, found.length));
            write("live-pull-response-not-found", b.pull(topic, 5));
            write("live-pull-response-moved", b.pull(topic, 99));

            GetRouteInfoRequestHeader classic = new GetRouteInfoRequestHeader();
            classic.setTopic(topic);
            RemotingCommand old = request(105, classic);
            old.setVersion(317);
            write("live-route-response-classic", ns.ask(old, null));
            GetRouteInfoRequestHeader standard = new GetRouteInfoRequestHeader();
            standard.setTopic(topic);
            standard.setAcceptStandardJsonOnly(true);
            write("live-route-response-standard-json", ns.ask(request(105, standard), null));
            GetRouteInfoRequestHeader missing = new GetRouteInfoRequestHeader();
            missing.setTopic("no-such-topic");
            write("live-route-response-unknown", ns.ask(request(105, missing), null));
            write("live-cluster-info-response", ns.ask(request(106, null), null));

            GetTopicStatsInfoRequestHeader stats = new GetTopicStatsInfoRequestHeader();
            stats.setTopic(topic);
            write("live-topic-stats-response", b.ask(request(202, stats), null));
            UpdateConsumerOffsetRequestHeader update = new UpdateConsumerOffsetRequestHeader();
            update.setConsumerGroup("group-1");
            update.setTopic(topic);
            update.setQueueId(0);
            update.setCommitOffset(2L);
            write("live-update-offset-response", b.ask(request(15, update), null));
            GetConsumeStatsRequestHeader progress = new GetConsumeStatsRequestHeader();
            progress.setConsumerGroup("group-1");
            progress.setTopic(topic);
            write("live-consume-stats-response", b.ask(request(208, progress), null));
            LockBatchRequestBody lock = new LockBatchRequestBody();
            lock.setConsumerGroup("group-1");
            lock.setClientId("127.0.0.1@1#2");
            lock.setMqSet(new LinkedHashSet<>(List.of(new MessageQueue(topic, "broker-a", 0))));
            write("live-lock-batch-response", b.ask(request(41, null), lock.encode()));
            GetConsumerListByGroupRequestHeader list = new GetConsumerListByGroupRequestHeader();
            list.setConsumerGroup("group-1");
            write("live-consumer-list-response", b.ask(request(38, list), null));
            write("live-unsupported-response", b.ask(request(9999, null), null));
        }
    }

    private static boolean hasBody(byte[] frame) {
        ByteBuffer parts = ByteBuffer.wrap(frame);
        return frame.length > 8 + (parts.getInt(4) & 0xFFFFFF);
    }

    /** One connection that speaks whole frames, so that what comes back is kept byte for byte. */
    private static final class Peer implements AutoCloseable {
        private final Socket socket;
        private final DataInputStream in;

        Peer(String address) throws IOException {
            String[] parts = address.split(":");
            socket = new Socket(parts[0], Integer.parseInt(parts[1]));
            socket.setSoTimeout(10_000);
            in = new DataInputStream(socket.getInputStream());
        }

        byte[] ask(RemotingCommand command, byte[] body) throws IOException {
            socket.getOutputStream().write(bytes(SerializeType.JSON, command, body));
            while (true) {
                int length = in.readInt();
                ByteBuffer frame = ByteBuffer.allocate(4 + length).putInt(length);
                byte[] rest = new byte[length];
                in.readFully(rest);
                frame.put(rest);
                String header = new String(rest, 4, ByteBuffer.wrap(rest).getInt() & 0xFFFFFF, StandardCharsets.UTF_8);
                if (header.contains("\"opaque\":" + command.getOpaque() + ",")) {
                    return frame.array();
                }
            }
        }

        byte[] pull(String topic, long offset) throws IOException {
            PullMessageRequestHeader pull = new PullMessageRequestHeader();
            pull.setConsumerGroup("group-1");
            pull.setTopic(topic);
            pull.setQueueId(0);
            pull.setQueueOffset(offset);
            pull.setMaxMsgNums(32);
            pull.setSysFlag(4);
            pull.setCommitOffset(0L);
            pull.setSuspendTimeoutMillis(0L);
            pull.setSubscription("*");
            pull.setSubVersion(0L);
            pull.setExpressionType("TAG");
            return ask(request(11, pull), null);
        }

        @Override
        public void close() throws IOException {
            socket.close();
        }
    }

    private Capture() {
    }
}

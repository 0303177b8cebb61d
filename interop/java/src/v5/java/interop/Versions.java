package interop;

import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.compression.CompressionType;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;

/** What differs between the published clients: 5.5.0. */
final class Versions {
    static final boolean HAS_EXAMPLE = true;
    static final List<String> COMPRESSIONS = List.of("ZLIB", "LZ4", "ZSTD");

    static void compress(DefaultMQProducer producer, String type) {
        producer.setCompressType(CompressionType.of(type));
    }

    static void broadcast(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    static void createTopic(DefaultMQProducer producer, String topic, int queues) throws MQClientException {
        producer.createTopic("TBW102", topic, queues, Map.of());
    }

    /** Code 33 alone: producer.viewMessage would go on to ask for a unique key. */
    static MessageExt view(DefaultMQProducer producer, String topic, String offsetId) throws Exception {
        return producer.getDefaultMQProducerImpl().viewMessage(topic, offsetId);
    }

    private Versions() {
    }
}

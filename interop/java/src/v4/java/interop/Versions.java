package interop;

import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.protocol.heartbeat.MessageModel;

/** What differs between the published clients: 4.9.8. */
final class Versions {
    static final boolean HAS_EXAMPLE = false;
    static final List<String> COMPRESSIONS = List.of("ZLIB");

    static void compress(DefaultMQProducer producer, String type) {
    }

    static void broadcast(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    static void createTopic(DefaultMQProducer producer, String topic, int queues) throws MQClientException {
        producer.createTopic("TBW102", topic, queues);
    }

    /** Code 33 alone: producer.viewMessage would go on to ask for a unique key. */
    static MessageExt view(DefaultMQProducer producer, String topic, String offsetId) throws Exception {
        return producer.getDefaultMQProducerImpl().viewMessage(offsetId);
    }

    private Versions() {
    }
}

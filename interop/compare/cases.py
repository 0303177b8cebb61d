"""What is asked. Each case notes answers under labels; the same labels of two servers are compared."""
import json
import re
import time

from wire import Peer, batch, properties, records

ALL = []


def case(function):
    ALL.append(function)
    return function


class Server:
    """One server under test: addresses, names that are the same on both sides, and the notes."""

    def __init__(self, namesrv, broker, name, cluster, run_id):
        self.namesrv, self.broker, self.name, self.cluster, self.run_id = namesrv, broker, name, cluster, run_id
        self.vip = "%s:%d" % (broker.split(":")[0], int(broker.split(":")[1]) - 2)
        self.notes = {}

    def topic(self, kind, queues=1, perm=6):
        topic = f"cmp_{kind}_{self.run_id}"
        peer = Peer(self.broker)
        answer = peer.ask(17, create(topic, readQueueNums=queues, writeQueueNums=queues, perm=perm))
        peer.close()
        assert answer.code == 0, f"create {topic}: {answer.code} {answer.remark}"
        return topic

    def group(self, kind):
        """A group that the broker knows."""
        group = f"cmp_{kind}_{self.run_id}"
        peer = Peer(self.broker)
        assert peer.ask(200, body=json.dumps({"groupName": group}).encode()).code == 0
        peer.close()
        return group

    def note(self, label, value):
        assert label not in self.notes, f"two notes under {label}"
        self.notes[label] = value

    def plain(self, text, peer=None):
        """Text without what depends on this server or this connection."""
        if not text:
            return None  # an empty text and none are the same to every client
        if found := re.search(r"the custom field <\w+> is null", text):
            return found[0]
        if peer:
            text = text.replace(peer.local, "<me>")
        text = text.replace(self.broker, "<broker>").replace(self.namesrv, "<namesrv>").replace(self.vip, "<vip>")
        text = text.replace(self.name, "<brokerName>").replace(self.cluster, "<cluster>").replace(self.run_id, "<run>")
        return text.strip()

    def parsed(self, answer):
        """The body as JSON with sorted members, so that quoted and unquoted integer keys are the same."""
        return self.plain(json.dumps(answer.json(), sort_keys=True))

    def status(self, label, answer, peer=None):
        """Code and text."""
        self.note(label, f"code {answer.code}, remark {self.plain(answer.remark, peer)!r}")

    def header(self, label, answer, volatile=(), peer=None):
        """Code, text and header fields; of a volatile field only that it is there."""
        ext = {key: "<any>" if key in volatile else self.plain(value) for key, value in sorted((answer.ext or {}).items())}
        self.note(label, f"code {answer.code}, remark {self.plain(answer.remark, peer)!r}, {ext}")


def create(topic, **changes):
    return {"topic": topic, "defaultTopic": "TBW102", "readQueueNums": "1", "writeQueueNums": "1", "perm": "6", "topicFilterType": "SINGLE_TAG",
            "topicSysFlag": "0", "order": "false"} | {key: str(value) for key, value in changes.items()}


def message(topic, v1=False, **changes):
    """Header of a send. Changes by long name; None takes a field out."""
    fields = {"producerGroup": "cmp_producers", "topic": topic, "defaultTopic": "TBW102", "defaultTopicQueueNums": "4", "queueId": "0",
              "sysFlag": "0", "bornTimestamp": str(int(time.time() * 1000)), "flag": "0",
              "properties": properties({"UNIQ_KEY": "7F0000010001000000000000000000AA"}), "reconsumeTimes": "0", "unitMode": "false",
              "maxReconsumeTimes": "0", "batch": "false"}
    fields |= {key: None if value is None else str(value) for key, value in changes.items()}
    letters = dict(zip(fields, "abcdefghijklm"))
    return {key if v1 else letters[key]: value for key, value in fields.items() if value is not None}


def pull(group, topic, **changes):
    fields = {"consumerGroup": group, "topic": topic, "queueId": "0", "queueOffset": "0", "maxMsgNums": "32", "sysFlag": "4", "commitOffset": "0",
              "suspendTimeoutMillis": "0", "subscription": "*", "subVersion": "0", "expressionType": "TAG"}
    fields |= {key: None if value is None else str(value) for key, value in changes.items()}
    return {key: value for key, value in fields.items() if value is not None}


def place(topic, group=None, queue=0, **more):
    fields = {"topic": topic, "queueId": str(queue)} | ({"consumerGroup": group} if group else {})
    return fields | {key: str(value) for key, value in more.items()}


def settle(peer, topic, count, queue=0):
    """Waits until that many messages can be read: Apache acknowledges a message a moment before that."""
    for _ in range(500):
        if int(peer.ask(30, place(topic, queue=queue)).ext["offset"]) >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"{topic}: not {count} messages in queue {queue}")


IDS = ("msgId", "transactionId")


@case
def send(server):
    topic = server.topic("send", queues=4)
    peer = Peer(server.broker)
    answer = peer.ask(310, message(topic), b"one")
    server.header("send, letters", answer, ("msgId",), peer)
    server.note("send, shape of the id", bool(re.fullmatch(r"[0-9A-F]{32}", answer.ext["msgId"])))
    server.header("send, long names", peer.ask(10, message(topic, v1=True), b"two"), ("msgId",), peer)
    server.header("send, empty body", peer.ask(310, message(topic), b""), ("msgId",), peer)
    server.header("send, no properties", peer.ask(310, message(topic, properties=None), b"three"), IDS, peer)
    server.header("send, no optional field", peer.ask(310, message(topic, reconsumeTimes=None, unitMode=None, maxReconsumeTimes=None, batch=None), b"x"),
                  ("msgId",), peer)
    server.header("send through the VIP port", Peer(server.vip).ask(310, message(topic, queueId=3), b"vip"), ("msgId",))
    answer = peer.ask(310, message(topic, queueId=-1), b"any queue")
    server.note("send, any queue", f"code {answer.code}, queue in range {int(answer.ext['queueId']) in range(4)}")
    for queue in (4, 99):
        server.status(f"send, queue {queue} of 4", peer.ask(310, message(topic, queueId=queue), b"x"), peer)


@case
def send_missing_fields(server):
    topic = server.topic("missing")
    peer = Peer(server.broker)
    for field in ("producerGroup", "topic", "defaultTopic", "defaultTopicQueueNums", "queueId", "sysFlag", "bornTimestamp", "flag"):
        server.status(f"send without {field}", peer.ask(310, message(topic, **{field: None}), b"x"))
        server.status(f"send in long names without {field}", peer.ask(10, message(topic, v1=True, **{field: None}), b"x"))
    server.note("send, queue is no number", peer.ask(310, message(topic, queueId="abc"), b"x").code)


@case
def send_illegal(server):
    topic = server.topic("illegal")
    peer = Peer(server.broker)
    names = {"blank inside": "has blank", "slash": "a/b", "not ASCII": "ümlaut", "128 characters": "x" * 128, "empty": "", "only blank": " ",
             "dot": "a.b", "retry with 256": "%RETRY%" + "x" * 249}
    for kind, name in names.items():
        server.status(f"send to a topic, {kind}", peer.ask(310, message(name), b"x"), peer)
    for name in ("TBW102", "SCHEDULE_TOPIC_XXXX", "RMQ_SYS_TRANS_HALF_TOPIC", "RMQ_SYS_TRANS_OP_HALF_TOPIC", "SELF_TEST_TOPIC", "OFFSET_MOVED_EVENT",
                 "TRANS_CHECK_MAX_TIME_TOPIC", "rmq_sys_wheel_timer"):
        server.status(f"send to {name}", peer.ask(310, message(name), b"x"), peer)
    server.status("send, unknown topic and unknown default topic", peer.ask(310, message("cmp_absent", defaultTopic="cmp_no_template"), b"x"), peer)
    server.status("send, retry topic of an unknown group", peer.ask(310, message(f"%RETRY%cmp_absent_{server.run_id}"), b"x"), peer)
    server.status("send, properties too long", peer.ask(310, message(topic, properties=properties({"a": "x" * 33000})), b"x"), peer)
    server.status("send, body too long", peer.ask(310, message(topic, properties=""), b"x" * (4 * 1024 * 1024 + 1)), peer)
    read_only = server.topic("readonly", perm=4)
    server.status("send to a read-only topic", peer.ask(310, message(read_only), b"x"), peer)


@case
def send_batch(server):
    topic = server.topic("batch")
    peer = Peer(server.broker)
    three = batch([(b"a", {"KEYS": "k1"}), (b"b", {"TAGS": "t"}), ("größe".encode(), {})])
    answer = peer.ask(320, message(topic, batch="true", properties=""), three)
    server.header("batch", answer, IDS, peer)
    server.note("batch, ids", len(answer.ext["msgId"].split(",")))
    server.header("batch of one", peer.ask(320, message(topic, batch="true", properties=""), batch([(b"d", {})])), IDS, peer)
    server.status("batch to a retry topic", peer.ask(320, message(f"%RETRY%{server.group('batchretry')}", batch="true"), three), peer)
    server.note("batch, sizes that lie", peer.ask(320, message(topic, batch="true", properties=""), three[:-3]).code)
    settle(peer, topic, 4)
    read = peer.ask(11, pull(server.group("batch"), topic))
    server.note("batch, stored", [(r["body"], r["offset"], sorted(r["properties"])) for r in records(read.body)])


@case
def send_creates(server):
    topic = f"cmp_auto_{server.run_id}"
    peer, namesrv = Peer(server.broker), Peer(server.namesrv)
    server.header("auto-creation", peer.ask(310, message(topic, defaultTopicQueueNums=3), b"x"), ("msgId",), peer)
    route = namesrv.ask(105, {"topic": topic, "acceptStandardJsonOnly": "true"})
    server.note("auto-creation, route", server.plain(route.body.decode()))
    many = f"cmp_auto_many_{server.run_id}"
    peer.ask(310, message(many, defaultTopicQueueNums=99), b"x")
    server.note("auto-creation, more queues than the template", namesrv.ask(105, {"topic": many}).json()["queueDatas"][0]["writeQueueNums"])


@case
def stored_record(server):
    topic = server.topic("stored", queues=2)
    peer = Peer(server.broker)
    own = {"UNIQ_KEY": "7F0000010001000000000000000000BB", "KEYS": "k ключ", "TAGS": "标签", "WAIT": "true", "größe": "🚀"}
    peer.ask(310, message(topic, queueId=1, flag=-7, properties=properties(own)), "grüße".encode())
    peer.ask(310, message(topic, queueId=1, sysFlag=0x101, properties=properties({"a": "b"}).rstrip("\x02")), b"not really compressed")
    group = server.group("stored")
    settle(peer, topic, 2, queue=1)
    for n, record in enumerate(records(peer.ask(11, pull(group, topic, queueId=1)).body)):
        record["topic"] = server.plain(record["topic"])
        record["properties"] = {key: "<any>" if key == "UNIQ_KEY" and n == 1 else server.plain(value) for key, value in sorted(record["properties"].items())}
        server.note(f"stored record {n}", record)


@case
def pulls(server):
    topic = server.topic("pull", queues=2)
    group = server.group("pull")
    peer = Peer(server.broker)
    for n in range(5):
        peer.ask(310, message(topic, properties=properties({"TAGS": "AB"[n % 2], "n": n})), b"m%d" % n)
    settle(peer, topic, 5)
    asked = {"from 0": {}, "from 3": {"queueOffset": 3}, "at the end": {"queueOffset": 5}, "beyond the end": {"queueOffset": 99},
             "one past the end": {"queueOffset": 6}, "negative offset": {"queueOffset": -1}, "at most 2": {"maxMsgNums": 2}, "at most 0": {"maxMsgNums": 0},
             "at most 1 byte": {"maxMsgBytes": 1}, "tag B": {"subscription": "B"}, "tag B from 4": {"subscription": "B", "queueOffset": 4},
             "no such tag": {"subscription": "C"}, "two tags": {"subscription": "A || C"}, "empty queue": {"queueId": 1},
             "empty queue from 5": {"queueId": 1, "queueOffset": 5}, "commits 2": {"sysFlag": 5, "commitOffset": 2}}
    for kind, changes in asked.items():
        answer = peer.ask(11, pull(group, topic, **changes))
        server.header(f"pull {kind}", answer, peer=peer)
        server.note(f"pull {kind}, messages", [record["body"] for record in records(answer.body)])
    server.header("pull, what it committed", peer.ask(14, place(topic, group)), peer=peer)
    server.header("lite pull", peer.ask(361, pull(group, topic, sysFlag=4 | 16)), peer=peer)


@case
def pull_refused(server):
    topic = server.topic("pullbad", queues=1)
    group = server.group("pullbad")
    peer = Peer(server.broker)
    for kind, changes in {"queue 1 of 1": {"queueId": 1}, "queue -1": {"queueId": -1}, "SQL92": {"expressionType": "SQL92", "subscription": "a = 1"},
                          "no subscription known": {"sysFlag": 0}, "unknown expression type": {"expressionType": "XYZ"}}.items():
        server.status(f"pull, {kind}", peer.ask(11, pull(group, topic, **changes)), peer)
    server.status("pull, unknown topic", peer.ask(11, pull(group, "cmp_absent")), peer)
    server.status("pull, topic with a blank", peer.ask(11, pull(group, "has blank")), peer)
    server.status("pull, new group", peer.ask(11, pull(f"cmp_new_{server.run_id}", topic)), peer)
    server.status("pull, group with a blank", peer.ask(11, pull("has blank", topic)), peer)
    server.status("pull, write-only topic", peer.ask(11, pull(group, server.topic("writeonly", perm=2))), peer)
    for field in ("consumerGroup", "topic", "queueId", "queueOffset", "maxMsgNums", "sysFlag", "commitOffset", "suspendTimeoutMillis", "subVersion"):
        server.status(f"pull without {field}", peer.ask(11, pull(group, topic, **{field: None})), peer)
    shut = f"cmp_shut_{server.run_id}"
    peer.ask(200, body=json.dumps({"groupName": shut, "consumeEnable": False}).encode())
    server.status("pull, group that may not", peer.ask(11, pull(shut, topic)), peer)
    server.status("pull through the VIP port", Peer(server.vip).ask(11, pull(group, topic)))


@case
def long_poll(server):
    topic = server.topic("poll")
    group = server.group("poll")
    waiting, other = Peer(server.broker), Peer(server.broker)
    begun = time.monotonic()
    answer = waiting.ask(11, pull(group, topic, sysFlag=6, suspendTimeoutMillis=1500), timeout=20)
    server.header("long poll that ends", answer)
    server.note("long poll, waited", time.monotonic() - begun >= 1.4)
    opaque = waiting.send(11, pull(group, topic, sysFlag=6, suspendTimeoutMillis=15000))
    other.ask(310, message(topic, properties=""), b"wake")
    waiting.socket.settimeout(10)
    header, body = waiting.read()
    server.note("long poll that is woken", (header["opaque"] == opaque, header["code"], [r["body"] for r in records(body)]))
    waiting.send(11, pull(group, topic, sysFlag=6, suspendTimeoutMillis=15000, queueOffset=1, subscription="A"))
    other.ask(310, message(topic, properties=properties({"TAGS": "B"})), b"other tag")
    other.ask(310, message(topic, properties=properties({"TAGS": "A"})), b"right tag")
    header, body = waiting.read()
    if header["code"] == 20:  # woken between the two: a client asks again at once
        answer = waiting.ask(11, pull(group, topic, sysFlag=6, suspendTimeoutMillis=15000, queueOffset=header["extFields"]["nextBeginOffset"], subscription="A"))
        header, body = {"code": answer.code, "extFields": answer.ext}, answer.body
    server.note("long poll that waits for a tag", (header["code"], header["extFields"]["nextBeginOffset"], [r["body"] for r in records(body)]))
    settle(other, topic, 3)
    server.header("long poll, no wait where it cannot help", waiting.ask(11, pull(group, topic, sysFlag=6, suspendTimeoutMillis=15000, queueOffset=50)))


@case
def offsets(server):
    topic = server.topic("offsets", queues=2)
    empty = server.topic("offsets_empty")
    group = server.group("offsets")
    peer = Peer(server.broker)
    for n in range(3):
        peer.ask(310, message(topic, properties=""), b"m%d" % n)
    settle(peer, topic, 3)
    server.header("offset of a new group, first message at hand", peer.ask(14, place(topic, group)), peer=peer)
    server.header("offset of a new group, no zero wanted", peer.ask(14, place(topic, group, setZeroIfNotFound="false")), peer=peer)
    server.header("offset of a new group, empty topic", peer.ask(14, place(empty, group)), peer=peer)
    server.header("offset of an unknown group", peer.ask(14, place(topic, "cmp_absent")), peer=peer)
    server.header("offset, unknown topic", peer.ask(14, place("cmp_absent", group)), peer=peer)
    server.header("offset, queue 9", peer.ask(14, place(topic, group, 9)), peer=peer)
    server.status("offset without group", peer.ask(14, place(topic)), peer)
    server.header("commit", peer.ask(15, place(topic, group, commitOffset=2)), peer=peer)
    server.header("commit, read back", peer.ask(14, place(topic, group)), peer=peer)
    server.header("commit backwards", peer.ask(15, place(topic, group, commitOffset=1)), peer=peer)
    server.header("commit backwards, read back", peer.ask(14, place(topic, group)), peer=peer)
    peer.send(15, place(topic, group, commitOffset=3), flag=2)
    server.header("commit one-way, read back", peer.ask(14, place(topic, group)), peer=peer)
    server.status("commit, unknown group", peer.ask(15, place(topic, "cmp_absent_group", commitOffset=1)), peer)
    server.status("commit, unknown topic", peer.ask(15, place("cmp_absent", group, commitOffset=1)), peer)
    server.status("commit, queue 9", peer.ask(15, place(topic, group, 9, commitOffset=1)), peer)
    server.status("commit without offset", peer.ask(15, place(topic, group)), peer)
    for code, name in ((30, "max offset"), (31, "min offset")):
        server.header(name, peer.ask(code, place(topic)), peer=peer)
        server.header(f"{name}, queue 9", peer.ask(code, place(topic, queue=9)), peer=peer)
        server.header(f"{name}, unknown topic", peer.ask(code, place("cmp_absent")), peer=peer)
        server.status(f"{name} without topic", peer.ask(code, {"queueId": "0"}), peer)
    server.header("earliest time, empty topic", peer.ask(32, place(empty)), peer=peer)
    now = int(time.time() * 1000)
    for kind, at in {"long ago": 0, "later": now + 3_600_000}.items():
        for boundary in (None, "LOWER", "UPPER"):
            more = {"boundaryType": boundary} if boundary else {}
            server.header(f"search {kind}, {boundary}", peer.ask(29, place(topic, timestamp=at, **more)), peer=peer)
    server.header("search, empty topic", peer.ask(29, place(empty, timestamp=now)), peer=peer)
    server.header("search, unknown topic", peer.ask(29, place("cmp_absent", timestamp=now)), peer=peer)


@case
def queries(server):
    topic = server.topic("query")
    peer = Peer(server.broker)
    sent = peer.ask(310, message(topic, properties=properties({"KEYS": "k1 k2", "UNIQ_KEY": "7F0000010001000000000000000000CC"})), b"found me")
    at = int(sent.ext["msgId"][16:], 16)
    wide = {"topic": topic, "maxNum": "32", "beginTimestamp": "0", "endTimestamp": str(2**62)}
    for key, more in {"k1": {}, "k2": {}, "7F0000010001000000000000000000CC": {"_UNIQUE_KEY_QUERY": "true"}}.items():
        for _ in range(200):
            answer = peer.ask(12, wide | {"key": key} | more)
            if answer.code == 0:
                break
            time.sleep(0.02)
        server.header(f"query {key}", answer, ("indexLastUpdateTimestamp", "indexLastUpdatePhyoffset"), peer)
        server.note(f"query {key}, messages", [record["body"] for record in records(answer.body)])
    server.status("query, absent key", peer.ask(12, wide | {"key": "absent"}), peer)
    server.status("query, unknown topic", peer.ask(12, wide | {"key": "k1", "topic": "cmp_absent"}), peer)
    server.status("query, in the past", peer.ask(12, wide | {"key": "k1", "endTimestamp": "1"}), peer)
    server.note("view", [record["body"] for record in records(peer.ask(33, {"offset": str(at)}).body)])
    server.status("view beyond the end", peer.ask(33, {"offset": str(2**50)}), peer)
    server.status("view, negative", peer.ask(33, {"offset": "-1"}), peer)


@case
def clients(server):
    topic = server.topic("clients")
    group = f"cmp_clients_{server.run_id}"
    first, second = Peer(server.broker), Peer(server.broker)

    def heartbeat(client):
        return json.dumps({"clientID": client, "producerDataSet": [{"groupName": "cmp_p_" + server.run_id}], "consumerDataSet": [
            {"groupName": group, "consumeType": "CONSUME_PASSIVELY", "messageModel": "CLUSTERING", "consumeFromWhere": "CONSUME_FROM_LAST_OFFSET",
             "unitMode": False, "subscriptionDataSet": [{"classFilterMode": False, "topic": topic, "subString": "*", "tagsSet": [], "codeSet": [],
                                                         "subVersion": 1, "expressionType": "TAG"}]}]}).encode()

    server.header("heartbeat", first.ask(34, body=heartbeat("cmp@1")))
    server.note("heartbeat, told to rebalance", pushed(first))
    server.note("consumer list", first.ask(38, {"consumerGroup": group}).json())
    server.header("heartbeat of another", second.ask(34, body=heartbeat("cmp@2")))
    server.note("another joined, the first is told", pushed(first))
    server.note("another joined, it is told itself", pushed(second))
    server.note("consumer list of two", sorted(first.ask(38, {"consumerGroup": group}).json()["consumerIdList"]))
    server.header("heartbeat again", first.ask(34, body=heartbeat("cmp@1")))
    server.note("retry topic in the route", Peer(server.namesrv).ask(105, {"topic": "%RETRY%" + group}).json()["queueDatas"][0] | {"brokerName": ""})
    server.header("pull by the subscription of the heartbeat", first.ask(11, pull(group, topic, sysFlag=0)))
    server.status("pull, newer subscription than the heartbeat's", first.ask(11, pull(group, topic, sysFlag=0, subVersion=2)), first)
    server.status("pull, topic that the heartbeat does not name", first.ask(11, pull(group, server.topic("clients_other"), sysFlag=0)), first)
    queue = {"topic": topic, "brokerName": server.name, "queueId": 0}

    def lock(code, peer, client):
        answer = peer.ask(code, body=json.dumps({"consumerGroup": group, "clientId": client, "mqSet": [queue]}).encode())
        return answer.code, len((answer.json() or {}).get("lockOKMQSet", []))

    server.note("lock", lock(41, first, "cmp@1"))
    server.note("lock again", lock(41, first, "cmp@1"))
    server.note("lock of another", lock(41, second, "cmp@2"))
    server.note("unlock by another", lock(42, second, "cmp@2"))
    server.note("still locked", lock(41, second, "cmp@2"))
    server.note("unlock", lock(42, first, "cmp@1"))
    server.note("lock of another after unlock", lock(41, second, "cmp@2"))
    server.status("unregister", second.ask(35, {"clientID": "cmp@2", "consumerGroup": group}), second)
    server.note("one left, the other is told", pushed(first))
    server.note("consumer list of one", first.ask(38, {"consumerGroup": group}).json())
    connections = first.ask(203, {"consumerGroup": group}).json()
    server.note("consumer connections", (len(connections["connectionSet"]), connections["consumeType"], connections["messageModel"],
                                         sorted(server.plain(t) for t in connections["subscriptionTable"])))
    first.close()
    third = Peer(server.broker)
    for _ in range(200):
        if third.ask(38, {"consumerGroup": group}).code != 0:
            break
        time.sleep(0.02)
    server.status("consumer list after the connection closed", third.ask(38, {"consumerGroup": group}), third)
    server.status("consumer list of an unknown group", third.ask(38, {"consumerGroup": "cmp_absent"}), third)
    server.status("consumer connections of an unknown group", third.ask(203, {"consumerGroup": "cmp_absent"}), third)
    server.status("producer connections of an unknown group", third.ask(204, {"producerGroup": "cmp_absent"}), third)


@case
def lenient_json(server):
    """What fastjson lets pass and other clients rely on: the Go client sends codeSet as strings."""
    topic = server.topic("lenient")
    peer = Peer(server.broker)
    for n in range(4):
        peer.ask(310, message(topic, properties=properties({"TAGS": "AB"[n % 2]})), b"m%d" % n)
    settle(peer, topic, 4)
    subscription = {"classFilterMode": False, "topic": topic, "subString": "A", "tagsSet": ["A"], "codeSet": [65], "subVersion": 1, "expressionType": "TAG"}
    consumer = {"consumeType": "CONSUME_PASSIVELY", "messageModel": "CLUSTERING", "consumeFromWhere": "CONSUME_FROM_LAST_OFFSET", "unitMode": False}
    changes = {"codes as text": ({"codeSet": ["65"]}, {}), "no sets": ({"tagsSet": None, "codeSet": None}, {}), "no expression type": ({"expressionType": None}, {}),
               "version as text": ({"subVersion": "1"}, {}), "unknown members": ({"extra": {"a": [1]}}, {"more": 1}), "no unitMode": ({}, {"unitMode": None}),
               "no consumeFromWhere": ({}, {"consumeFromWhere": None})}
    for n, (kind, (inner, outer)) in enumerate(changes.items()):
        group = f"cmp_lenient{n}_{server.run_id}"
        entry = {"groupName": group, "subscriptionDataSet": [subscription | inner]} | consumer | outer
        for explicit in (False, True):  # a member that is not there, and one that is null
            keep = (lambda pairs: pairs) if explicit else (lambda pairs: {key: value for key, value in pairs.items() if value is not None})
            sent = json.loads(json.dumps(entry), object_hook=keep)
            answer = peer.ask(34, body=json.dumps({"clientID": "cmp@1", "consumerDataSet": [sent]}).encode())
            found = peer.ask(11, pull(group, topic, sysFlag=0))
            server.note(f"heartbeat, {kind}, {'null' if explicit else 'absent'}", (answer.code, found.code, [r["body"] for r in records(found.body)]))
    unquoted = '{"groupName":"cmp_loose_%s","retryMaxTimes":"3",brokerId:0}' % server.run_id
    server.note("create group, names without quotes", peer.ask(200, body=unquoted.encode()).code)


def pushed(peer):
    header = peer.push_within(3)
    return header and (header["code"], header["flag"], sorted((header.get("extFields") or {})))


def progress(server, answer):
    table = answer.json()["offsetTable"]
    return answer.code, {server.plain(key): (value["brokerOffset"], value["consumerOffset"], value["pullOffset"], value["lastTimestamp"] > 0)
                         for key, value in sorted(table.items())}


@case
def admin(server):
    peer = Peer(server.broker)
    for kind, name in {"blank inside": "has blank", "128 characters": "x" * 128, "empty": "", "system": "SELF_TEST_TOPIC", "template": "TBW102"}.items():
        server.status(f"create topic, {kind}", peer.ask(17, create(name)), peer)
        server.status(f"delete topic, {kind}", peer.ask(215, {"topic": name}), peer)
    server.status("create topic without perm", peer.ask(17, {key: value for key, value in create("cmp_x").items() if key != "perm"}), peer)
    server.status("delete topic, unknown", peer.ask(215, {"topic": "cmp_absent"}), peer)
    server.status("topic config, unknown", peer.ask(351, {"topic": "cmp_absent"}), peer)
    topic = server.topic("admin", queues=3)
    config = peer.ask(351, {"topic": topic}).json()
    server.note("topic config", {key: server.plain(str(config.get(key))) for key in ("topicName", "readQueueNums", "writeQueueNums", "perm", "topicFilterType",
                                                                                     "topicSysFlag", "order")})
    for n in range(4):
        peer.ask(310, message(topic, queueId=n % 2, properties=""), b"m")
    settle(peer, topic, 2)
    settle(peer, topic, 2, queue=1)
    stats = peer.ask(202, {"topic": topic}).json()["offsetTable"]
    server.note("topic stats", {server.plain(key): (value["minOffset"], value["maxOffset"], value["lastUpdateTimestamp"] > 0) for key, value in sorted(stats.items())})
    server.status("topic stats, unknown", peer.ask(202, {"topic": "cmp_absent"}), peer)
    group = server.group("admin")
    server.note("consume stats of a new group", progress(server, peer.ask(208, {"consumerGroup": group, "topic": topic})))
    for queue, at in ((0, 1), (1, 2)):
        peer.ask(15, place(topic, group, queue, commitOffset=at))
    server.note("consume stats", progress(server, peer.ask(208, {"consumerGroup": group, "topic": topic})))
    server.note("consume stats of an unknown group", progress(server, peer.ask(208, {"consumerGroup": "cmp_absent", "topic": topic})))
    server.note("who consumes", [server.plain(g) for g in peer.ask(300, {"topic": topic}).json()["groupList"]])
    server.status("group config, unknown", peer.ask(352, {"group": f"cmp_absent_{server.run_id}"}), peer)
    server.status("create group, blank inside", peer.ask(200, body=b'{"groupName":"has blank"}'), peer)
    server.status("change a config key on the black list", peer.ask(25, body=b"brokerConfigPath=/x"), peer)
    for key in sorted(peer.ask(28).json()["table"]):
        # what Apache has, whatever its value; a figure more is no difference
        if not key.startswith("commitLogDiskRatio_"):
            server.note(f"runtime figure {key}", "there")
    server.status("delete topic", peer.ask(215, {"topic": topic}), peer)
    server.status("topic stats, deleted", peer.ask(202, {"topic": topic}), peer)


@case
def unknown_codes(server):
    for code in (9999, 22, 13):
        server.status(f"broker, code {code}", Peer(server.broker).ask(code))
    server.status("name server, code 9999", Peer(server.namesrv).ask(9999))


@case
def routes(server):
    topic = server.topic("routes", queues=3)
    new, old = Peer(server.namesrv), Peer(server.namesrv, version=317)
    server.note("route, quoted", server.plain(new.ask(105, {"topic": topic, "acceptStandardJsonOnly": "true"}).body.decode()))
    server.note("route, for an old client", old.ask(105, {"topic": topic}).json()["queueDatas"][0] | {"brokerName": ""})
    template = new.ask(105, {"topic": "TBW102"}).json()["queueDatas"][0]
    server.note("route of TBW102", {key: template[key] for key in ("perm", "readQueueNums", "writeQueueNums", "topicSysFlag")})
    server.status("route, unknown topic", new.ask(105, {"topic": "cmp_absent"}))
    server.status("route without topic", new.ask(105, {}))
    server.note("cluster", server.parsed(new.ask(106)))
    listed = new.ask(206).json()["topicList"]
    server.note("topic list", topic in listed and "TBW102" in listed and server.name in listed and server.cluster in listed)
    server.note("topics of the cluster", topic in new.ask(224, {"cluster": server.cluster}).json()["topicList"])
    server.status("topics of an unknown cluster", new.ask(224, {"cluster": "cmp_absent"}))
    members = new.ask(901, {"clusterName": server.cluster, "brokerName": server.name})
    server.note("broker members", (members.code, server.parsed(members)))


@case
def key_values(server):
    peer = Peer(server.namesrv)
    space = {"namespace": "cmp_" + server.run_id}
    server.status("kv, nothing there", peer.ask(101, space | {"key": "k"}))
    server.status("kv list, nothing there", peer.ask(219, space))
    server.status("kv put", peer.ask(100, space | {"key": "k", "value": "größe"}))
    server.header("kv get", peer.ask(101, space | {"key": "k"}))
    server.note("kv list", peer.ask(219, space).json())
    server.status("kv delete", peer.ask(102, space | {"key": "k"}))
    server.status("kv get, deleted", peer.ask(101, space | {"key": "k"}))
    server.status("kv put without value", peer.ask(100, space | {"key": "k"}))
    server.status("wipe write permission of an unknown broker", peer.ask(205, {"brokerName": "cmp_absent"}))
    server.header("wipe write permission of an unknown broker, header", peer.ask(205, {"brokerName": "cmp_absent"}))
    server.status("change a name server key on the black list", peer.ask(318, body=b"kvConfigPath=/x"))

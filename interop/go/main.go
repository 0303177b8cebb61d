// The official Go client against a name server: one line for each scenario, `N passed, N failed` at the end.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"regexp"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

// World is what one scenario works with: names nobody else uses and clients that are shut down at its end.
type World struct {
	namesrv, broker, name string
	open                  []func()
}

var (
	run  = fmt.Sprintf("%x", time.Now().UnixMilli()%(1<<32))
	next atomic.Int64
)

// failed carries the reason out of a scenario.
type failed string

func check(holds bool, format string, args ...any) {
	if !holds {
		panic(failed(fmt.Sprintf(format, args...)))
	}
}

func must[T any](value T, err error) T {
	check(err == nil, "%v", err)
	return value
}

func equal(expected, actual any, what string) {
	check(reflect.DeepEqual(expected, actual), "%s: expected %.300v, got %.300v", what, expected, actual)
}

func await(what string, holds func() bool) {
	for deadline := time.Now().Add(45 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		check(time.Now().Before(deadline), "not within 45 s: %s", what)
	}
}

func (w *World) fresh(kind string) string {
	return fmt.Sprintf("%s_%s_%s_%d", kind, strings.ReplaceAll(w.name, "-", "_"), run, next.Add(1))
}

func (w *World) servers() primitive.NamesrvAddr { return primitive.NamesrvAddr{w.namesrv} }

func (w *World) topic(queues int) string {
	topic := w.fresh("t")
	a := must(admin.NewAdmin(admin.WithResolver(primitive.NewPassthroughResolver([]string{w.namesrv}))))
	defer a.Close()
	err := a.CreateTopic(context.Background(), admin.WithTopicCreate(topic), admin.WithBrokerAddrCreate(w.broker),
		admin.WithReadQueueNums(queues), admin.WithWriteQueueNums(queues))
	check(err == nil, "create topic: %v", err)
	return topic
}

func (w *World) producer(options ...producer.Option) rocketmq.Producer {
	all := append([]producer.Option{producer.WithNameServer(w.servers()), producer.WithGroupName(w.fresh("p")),
		producer.WithInstanceName(w.fresh("i")), producer.WithSendMsgTimeout(10 * time.Second)}, options...)
	p := must(rocketmq.NewProducer(all...))
	check(p.Start() == nil, "the producer does not start")
	w.open = append(w.open, func() { p.Shutdown() })
	return p
}

// Seen is what a consumer got, in its order.
type Seen struct {
	sync.Mutex
	all []*primitive.MessageExt
}

func (s *Seen) add(messages ...*primitive.MessageExt) {
	s.Lock()
	defer s.Unlock()
	s.all = append(s.all, messages...)
}

func (s *Seen) count() int {
	s.Lock()
	defer s.Unlock()
	return len(s.all)
}

func (s *Seen) texts() []string {
	s.Lock()
	defer s.Unlock()
	out := []string{}
	for _, m := range s.all {
		out = append(out, string(m.Body))
	}
	return out
}

func (w *World) push(group, topic, expression string, seen *Seen, options ...consumer.Option) rocketmq.PushConsumer {
	all := append([]consumer.Option{consumer.WithNameServer(w.servers()), consumer.WithGroupName(group), consumer.WithInstance(w.fresh("i")),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset)}, options...)
	c := must(rocketmq.NewPushConsumer(all...))
	err := c.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: expression},
		func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
			seen.add(messages...)
			return consumer.ConsumeSuccess, nil
		})
	check(err == nil, "subscribe: %v", err)
	check(c.Start() == nil, "the consumer does not start")
	w.open = append(w.open, func() { c.Shutdown() })
	return c
}

// read takes everything out of a topic with a group of its own.
func (w *World) read(topic string, expected int) *Seen {
	seen := &Seen{}
	w.push(w.fresh("g"), topic, "*", seen)
	await(fmt.Sprintf("%d messages in %s", expected, topic), func() bool { return seen.count() >= expected })
	equal(expected, seen.count(), "messages")
	return seen
}

func sorted(values []string) []string {
	sort.Strings(values)
	return values
}

func numbered(from, to int) []string {
	out := []string{}
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("m%d", i))
	}
	return sorted(out)
}

func send(p rocketmq.Producer, topic string, from, to int) {
	for i := from; i < to; i++ {
		sent := must(p.SendSync(context.Background(), primitive.NewMessage(topic, []byte(fmt.Sprintf("m%d", i)))))
		equal(primitive.SendOK, sent.Status, "status")
	}
}

func sendSync(w *World) {
	topic := w.topic(4)
	p := w.producer()
	offsets := map[int]int64{}
	for i := 0; i < 20; i++ {
		sent := must(p.SendSync(context.Background(), primitive.NewMessage(topic, []byte(fmt.Sprintf("m%d", i)))))
		equal(primitive.SendOK, sent.Status, "status")
		queue := sent.MessageQueue.QueueId
		equal(offsets[queue], sent.QueueOffset, "offset")
		offsets[queue]++
		check(len(sent.OffsetMsgID) == 32, "offset id %s", sent.OffsetMsgID)
	}
	equal(numbered(0, 20), sorted(w.read(topic, 20).texts()), "bodies")
}

func sendAsync(w *World) {
	topic := w.topic(4)
	p := w.producer()
	answers := make(chan error, 100)
	for i := 0; i < 100; i++ {
		err := p.SendAsync(context.Background(), func(_ context.Context, sent *primitive.SendResult, err error) {
			if err == nil && sent.Status != primitive.SendOK {
				err = fmt.Errorf("status %v", sent.Status)
			}
			answers <- err
		}, primitive.NewMessage(topic, []byte(fmt.Sprintf("m%d", i))))
		check(err == nil, "%v", err)
	}
	for i := 0; i < 100; i++ {
		select {
		case err := <-answers:
			check(err == nil, "%v", err)
		case <-time.After(30 * time.Second):
			panic(failed("a send without an answer"))
		}
	}
	equal(numbered(0, 100), sorted(w.read(topic, 100).texts()), "bodies")
}

func sendOneway(w *World) {
	topic := w.topic(2)
	p := w.producer()
	for i := 0; i < 30; i++ {
		err := p.SendOneWay(context.Background(), primitive.NewMessage(topic, []byte(fmt.Sprintf("m%d", i))))
		check(err == nil, "%v", err)
	}
	equal(numbered(0, 30), sorted(w.read(topic, 30).texts()), "bodies")
}

func sendBatch(w *World) {
	topic := w.topic(1)
	p := w.producer()
	var messages []*primitive.Message
	for i := 0; i < 20; i++ {
		m := primitive.NewMessage(topic, []byte(fmt.Sprintf("m%d", i))).WithTag(fmt.Sprintf("tag%d", i%3)).WithKeys([]string{fmt.Sprintf("key%d", i)})
		m.WithProperty("n", fmt.Sprintf("größe %d", i))
		messages = append(messages, m)
	}
	sent := must(p.SendSync(context.Background(), messages...))
	equal(primitive.SendOK, sent.Status, "status")
	equal(20, len(strings.Split(sent.OffsetMsgID, ",")), "offset ids")
	read := w.read(topic, 20).all // consumed side by side
	sort.Slice(read, func(a, b int) bool { return read[a].QueueOffset < read[b].QueueOffset })
	for i, m := range read {
		equal(fmt.Sprintf("m%d", i), string(m.Body), "body")
		equal(fmt.Sprintf("tag%d", i%3), m.GetTags(), "tag")
		equal(fmt.Sprintf("key%d", i), strings.TrimSpace(m.GetKeys()), "key")
		equal(fmt.Sprintf("größe %d", i), m.GetProperty("n"), "property")
		equal(int64(i), m.QueueOffset, "offset")
	}
}

func sendCompressed(w *World) {
	topic := w.topic(1)
	body := strings.Repeat("compress me, grüße! ", 1000)
	p := w.producer(producer.WithCompressMsgBodyOverHowmuch(4096))
	must(p.SendSync(context.Background(), primitive.NewMessage(topic, []byte(body))))
	m := w.read(topic, 1).all[0]
	equal(body, string(m.Body), "body")
	check(m.StoreSize < 2000, "stored uncompressed: %d", m.StoreSize)
}

func sendProperties(w *World) {
	topic := w.topic(1)
	m := primitive.NewMessage(topic, []byte("grüße 世界 🚀")).WithTag("标签").WithKeys([]string{"k1", "ключ"})
	m.WithProperty("größe", "groß 🚀")
	m.Flag = 7
	sent := must(w.producer().SendSync(context.Background(), m))
	read := w.read(topic, 1).all[0]
	equal("grüße 世界 🚀", string(read.Body), "body")
	equal("标签", read.GetTags(), "tag")
	equal("k1 ключ", strings.TrimSpace(read.GetKeys()), "keys")
	equal("groß 🚀", read.GetProperty("größe"), "property")
	equal(int32(7), read.Flag, "flag")
	equal(sent.MsgID, read.MsgId, "unique id")
	equal(sent.OffsetMsgID, read.OffsetMsgId, "offset id")
	equal("DefaultRegion", sent.RegionID, "region")
}

func sendAutoCreated(w *World) {
	topic := w.fresh("auto")
	send(w.producer(), topic, 0, 8)
	equal(numbered(0, 8), sorted(w.read(topic, 8).texts()), "bodies")
}

func pushClustering(w *World) {
	topic := w.topic(4)
	group := w.fresh("g")
	p := w.producer()
	first, second := &Seen{}, &Seen{}
	w.push(group, topic, "*", first)
	send(p, topic, 0, 20)
	await("20 messages", func() bool { return first.count() >= 20 })
	two := w.push(group, topic, "*", second)
	sentUpTo := 20
	await("both get messages", func() bool {
		send(p, topic, sentUpTo, sentUpTo+4)
		sentUpTo += 4
		want := sentUpTo
		for deadline := time.Now().Add(5 * time.Second); first.count()+second.count() < want && time.Now().Before(deadline); {
			time.Sleep(20 * time.Millisecond)
		}
		return second.count() >= 2
	})
	two.Shutdown()
	send(p, topic, sentUpTo, sentUpTo+20)
	once := func() map[string]bool {
		all := map[string]bool{}
		for _, text := range append(first.texts(), second.texts()...) {
			all[text] = true
		}
		return all
	}
	await("every message after one left", func() bool { return len(once()) == sentUpTo+20 })
}

func pushTags(w *World) {
	topic := w.topic(2)
	p := w.producer()
	seen := &Seen{}
	w.push(w.fresh("g"), topic, "A || B", seen)
	for i := 0; i < 30; i++ {
		must(p.SendSync(context.Background(), primitive.NewMessage(topic, []byte(fmt.Sprintf("m%d", i))).WithTag([]string{"A", "B", "C"}[i%3])))
	}
	await("20 messages", func() bool { return seen.count() >= 20 })
	must(p.SendSync(context.Background(), primitive.NewMessage(topic, []byte("end")).WithTag("A")))
	await("the last", func() bool { return seen.count() >= 21 })
	equal(21, seen.count(), "messages")
	for _, m := range seen.all {
		check(m.GetTags() != "C", "tag C came")
	}
}

func pushOrderly(w *World) {
	topic := w.topic(4)
	p := w.producer(producer.WithQueueSelector(producer.NewHashQueueSelector()))
	seen := &Seen{}
	w.push(w.fresh("g"), topic, "*", seen, consumer.WithConsumerOrder(true))
	for i := 0; i < 10; i++ {
		for key := 0; key < 6; key++ {
			m := primitive.NewMessage(topic, []byte(fmt.Sprintf("%d:%d", key, i))).WithShardingKey(fmt.Sprintf("order%d", key))
			must(p.SendSync(context.Background(), m))
		}
	}
	await("60 messages", func() bool { return seen.count() >= 60 })
	last := map[string]int{}
	for _, text := range seen.texts() {
		var key string
		var n int
		parts := strings.Split(text, ":")
		key = parts[0]
		fmt.Sscan(parts[1], &n)
		equal(last[key], n, "next of key "+key)
		last[key]++
	}
}

func pushBroadcast(w *World) {
	topic := w.topic(2)
	group := w.fresh("g")
	p := w.producer()
	all := []*Seen{{}, {}}
	for _, seen := range all {
		w.push(group, topic, "*", seen, consumer.WithConsumerModel(consumer.BroadCasting))
	}
	send(p, topic, 0, 20)
	for _, seen := range all {
		await("every message at every consumer", func() bool { return seen.count() >= 20 })
		equal(numbered(0, 20), sorted(seen.texts()), "messages")
	}
}

func pushRestart(w *World) {
	topic := w.topic(4)
	group := w.fresh("g")
	p := w.producer()
	before, after := &Seen{}, &Seen{}
	c := w.push(group, topic, "*", before)
	send(p, topic, 0, 20)
	await("20 messages", func() bool { return before.count() >= 20 })
	c.Shutdown()
	send(p, topic, 20, 25)
	w.push(group, topic, "*", after)
	await("5 messages after the restart", func() bool { return after.count() >= 5 })
	equal(numbered(20, 25), sorted(after.texts()), "messages after the restart")
}

func pullFrom(w *World) {
	topic := w.topic(1)
	send(w.producer(), topic, 0, 10)
	c := must(rocketmq.NewPullConsumer(consumer.WithNameServer(w.servers()), consumer.WithGroupName(w.fresh("g")), consumer.WithInstance(w.fresh("i"))))
	check(c.Subscribe(topic, consumer.MessageSelector{}) == nil, "subscribe")
	check(c.Start() == nil, "the pull consumer does not start")
	w.open = append(w.open, func() { c.Shutdown() })
	queue := &primitive.MessageQueue{Topic: topic, BrokerName: brokerName(w), QueueId: 0}
	var result *primitive.PullResult
	await("messages from offset 3", func() bool {
		found, err := c.PullFrom(context.Background(), queue, 3, 32)
		result = found
		return err == nil && found.Status == primitive.PullFound
	})
	equal(int64(10), result.MaxOffset, "max offset")
	equal("m3", string(result.GetMessageExts()[0].Body), "first body")
	equal(int64(3+len(result.GetMessageExts())), result.NextBeginOffset, "next offset")
	// the client turns an answer 21 into a status, not an error
	beyond := must(c.PullFrom(context.Background(), queue, 100, 32))
	equal(primitive.PullOffsetIllegal, beyond.Status, "status beyond the end")
	equal(int64(10), beyond.NextBeginOffset, "next offset beyond the end")
}

// clusterTable asks the name server for code 106 by hand: this client has no call for it.
func clusterTable(namesrv string) string {
	link, err := net.DialTimeout("tcp", namesrv, 5*time.Second)
	check(err == nil, "%v", err)
	defer link.Close()
	link.SetDeadline(time.Now().Add(5 * time.Second))
	header := `{"code":106,"flag":0,"language":"GO","opaque":1,"version":317}`
	frame := binary.BigEndian.AppendUint32(nil, uint32(4+len(header)))
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(header)))
	must(link.Write(append(frame, header...)))
	in := bufio.NewReader(link)
	size := make([]byte, 4)
	must(io.ReadFull(in, size))
	answer := make([]byte, binary.BigEndian.Uint32(size))
	must(io.ReadFull(in, answer))
	return string(answer)
}

func brokerName(w *World) string {
	return regexp.MustCompile(`"brokerName":"([^"]+)"`).FindStringSubmatch(clusterTable(w.namesrv))[1]
}

type scenario struct {
	name string
	run  func(*World)
}

func (s scenario) outcome(namesrv, broker string) (why string) {
	w := &World{namesrv: namesrv, broker: broker, name: s.name}
	defer func() {
		if reason := recover(); reason != nil {
			why = fmt.Sprint(reason)
		}
		// shutting down takes this client up to seconds; nobody waits for it
		go func() {
			for _, close := range w.open {
				close()
			}
		}()
	}()
	s.run(w)
	return ""
}

func main() {
	rlog.SetLogLevel("fatal")
	namesrv := os.Args[1]
	only := ".*"
	if len(os.Args) > 2 {
		only = os.Args[2]
	}
	broker := regexp.MustCompile(`\{"?0"?:"([^"]+)"`).FindStringSubmatch(clusterTable(namesrv))[1]
	if only == "faults" {
		if why := (scenario{"faults", faults}).outcome(namesrv, broker); why != "" {
			fmt.Println("FAILED faults: " + strings.ReplaceAll(why, "\n", " "))
			os.Exit(1)
		}
		return
	}
	scenarios := []scenario{{"push-clustering", pushClustering}, {"push-orderly", pushOrderly}, {"push-broadcast", pushBroadcast},
		{"push-offsets-survive-restart", pushRestart}, {"push-tags", pushTags}, {"pull-from", pullFrom}, {"send-sync", sendSync},
		{"send-async", sendAsync}, {"send-oneway", sendOneway}, {"send-batch", sendBatch}, {"send-compressed-zlib", sendCompressed},
		{"send-properties", sendProperties}, {"send-unknown-topic-is-created", sendAutoCreated}}
	var passed, bad atomic.Int64
	var all sync.WaitGroup
	slots := make(chan struct{}, 8)
	for _, each := range scenarios {
		if !regexp.MustCompile("^(" + only + ")$").MatchString(each.name) {
			continue
		}
		all.Add(1)
		go func() {
			defer all.Done()
			slots <- struct{}{}
			defer func() { <-slots }()
			begun := time.Now()
			why := each.outcome(namesrv, broker)
			took := time.Since(begun).Seconds()
			if why == "" {
				passed.Add(1)
				fmt.Printf("ok go-%s (%.1f s)\n", each.name, took)
			} else {
				bad.Add(1)
				fmt.Printf("FAILED go-%s: %s (%.1f s)\n", each.name, strings.ReplaceAll(why, "\n", " "), took)
			}
		}()
	}
	all.Wait()
	fmt.Printf("%d passed, %d failed\n", passed.Load(), bad.Load())
	if bad.Load() > 0 || passed.Load() == 0 {
		os.Exit(1)
	}
}

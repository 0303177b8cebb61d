package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// Numbers is a set of what was sent or came.
type Numbers struct {
	sync.Mutex
	all map[int]bool
}

func (n *Numbers) add(number int) {
	n.Lock()
	defer n.Unlock()
	if n.all == nil {
		n.all = map[int]bool{}
	}
	n.all[number] = true
}

func (n *Numbers) count() int {
	n.Lock()
	defer n.Unlock()
	return len(n.all)
}

func (n *Numbers) has(number int) bool {
	n.Lock()
	defer n.Unlock()
	return n.all[number]
}

// missing counts what n has and other has not.
func (n *Numbers) missing(other *Numbers) int {
	n.Lock()
	defer n.Unlock()
	missing := 0
	for number := range n.all {
		if !other.has(number) {
			missing++
		}
	}
	return missing
}

func filler(number int) string { return strings.Repeat(strconv.FormatInt(int64(number), 36), 40) }

// faults sends and consumes while something breaks. It says "ready" when messages flow, is told "enough" on
// standard input, and then asks whether whatever was acknowledged came, as it was sent.
func faults(w *World) {
	topic := w.topic(4)
	var acknowledged, unknown, got Numbers
	var again, altered atomic.Int64
	c := must(rocketmq.NewPushConsumer(consumer.WithNameServer(w.servers()), consumer.WithGroupName(w.fresh("g")),
		consumer.WithInstance(w.fresh("i")), consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset)))
	err := c.Subscribe(topic, consumer.MessageSelector{}, func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, message := range messages {
			text, rest, _ := strings.Cut(string(message.Body), ":")
			number, err := strconv.Atoi(text)
			if err != nil || rest != filler(number) {
				altered.Add(1)
			}
			if got.has(number) {
				again.Add(1)
			}
			got.add(number)
		}
		return consumer.ConsumeSuccess, nil
	})
	check(err == nil, "subscribe: %v", err)
	check(c.Start() == nil, "the consumer does not start")
	w.open = append(w.open, func() { c.Shutdown() })

	p := w.producer(producer.WithSendMsgTimeout(3*time.Second), producer.WithRetry(2))
	var next atomic.Int64
	var enough atomic.Bool
	var senders sync.WaitGroup
	for range 4 {
		senders.Add(1)
		go func() {
			defer senders.Done()
			for !enough.Load() {
				number := int(next.Add(1))
				body := []byte(fmt.Sprintf("%d:%s", number, filler(number)))
				result, err := p.SendSync(context.Background(), primitive.NewMessage(topic, body))
				if err == nil && result.Status == primitive.SendOK {
					acknowledged.add(number)
					time.Sleep(time.Millisecond)
				} else {
					unknown.add(number)
					time.Sleep(50 * time.Millisecond)
				}
			}
		}()
	}
	await("messages", func() bool { return got.count() > 0 })
	fmt.Println("ready")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	enough.Store(true)
	senders.Wait()
	// This client finds a broker that was gone with its next look at the routes, each 30 s.
	for deadline := time.Now().Add(150 * time.Second); acknowledged.missing(&got) > 0; time.Sleep(50 * time.Millisecond) {
		check(time.Now().Before(deadline), "%d of %d acknowledged never came", acknowledged.missing(&got), acknowledged.count())
	}
	check(altered.Load() == 0, "%d were altered", altered.Load())
	sent := acknowledged.count() + unknown.count()
	check(got.count() <= sent, "%d came of %d that were sent", got.count(), sent)
	fmt.Printf("ok faults: %d acknowledged, %d without an answer, %d consumed again\n", acknowledged.count(), unknown.count(), again.Load())
}

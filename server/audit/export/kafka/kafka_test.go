package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/verdict-authz/verdict/server/audit/export"
	"github.com/verdict-authz/verdict/server/audit/shape"
	"github.com/verdict-authz/verdict/server/secret"
	"github.com/verdict-authz/verdict/store"
)

const (
	topic  = "verdict-decisions"
	canary = "very-secret-value"
)

var begin = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// batch is n records of several tenants, from number `from` on.
func batch(from, n int) (ds []store.Decision) {
	for i := from; i < from+n; i++ {
		at := begin.Add(time.Duration(i) * time.Millisecond)
		ds = append(ds, store.Decision{
			ID: fmt.Sprintf("%08x-%04x-7000-8000-%012x", at.UnixMilli()>>16, at.UnixMilli()&0xffff, i), At: at,
			TenantID: fmt.Sprintf("0000000%d-0000-4000-8000-000000000000", i%5), Instance: "verdict-0", Epoch: 1, Seq: uint64(i) + 1,
		})
	}
	return ds
}

func newCluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3), kfake.SeedTopics(4, topic)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func newSink(t *testing.T, cfg Config) *Sink {
	t.Helper()
	cfg.Topic = topic
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func send(t *testing.T, s *Sink, ds []store.Decision) {
	t.Helper()
	if err := s.Send(t.Context(), ds); err != nil {
		t.Fatal(err)
	}
}

// consume reads messages until there are `want` different ones.
func consume(t *testing.T, c *kfake.Cluster, want int, opts ...kgo.Opt) (all []*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ids := make(map[string]bool)
	for len(ids) < want {
		fetched := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d messages", len(ids), want)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			all = append(all, r)
			ids[header(r, headerID)] = true
		})
	}
	return all
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// inOrder fails unless the messages of each key are in one partition and in order, repeated ones aside.
func inOrder(t *testing.T, all []*kgo.Record) {
	t.Helper()
	partition, last := make(map[string]int32), make(map[string]string)
	for _, r := range all {
		key, id := string(r.Key), header(r, headerID)
		if p, seen := partition[key]; seen && p != r.Partition {
			t.Fatalf("%s is in two partitions", key)
		}
		partition[key] = r.Partition
		if d, err := shape.ParseJSON(r.Value); err != nil || d.ID != id || d.TenantID != key {
			t.Fatalf("%s: %v", r.Value, err)
		}
		if id > last[key] {
			last[key] = id
		}
	}
	if len(partition) != 5 {
		t.Errorf("%d keys", len(partition))
	}
}

// firsts are the ids of a key in the order in which they came first.
func firsts(all []*kgo.Record, key string) (ids []string) {
	for _, r := range all {
		if id := header(r, headerID); string(r.Key) == key && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func TestRecordsAreProducedOnceAndInOrderOfTheirKey(t *testing.T) {
	c := newCluster(t)
	s := newSink(t, Config{Brokers: c.ListenAddrs()})
	for from := 0; from < 300; from += 100 {
		send(t, s, batch(from, 100))
	}
	all := consume(t, c, 300)
	if len(all) != 300 {
		t.Errorf("%d messages", len(all))
	}
	inOrder(t, all)
	for i := range 5 {
		if ids := firsts(all, batch(i, 1)[0].TenantID); len(ids) != 60 || !slices.IsSorted(ids) {
			t.Errorf("tenant %d: %d messages, in order: %t", i, len(ids), slices.IsSorted(ids))
		}
	}
	r := all[0]
	if header(r, headerType) != "application/json" || !r.Timestamp.Equal(begin.Add(r.Timestamp.Sub(begin))) || r.Timestamp.Before(begin) {
		t.Errorf("%+v", r)
	}
}

func TestNobodysRecordsAndTheOtherShape(t *testing.T) {
	c := newCluster(t)
	s := newSink(t, Config{Brokers: c.ListenAddrs(), Shape: export.OCSF})
	d := batch(0, 1)
	d[0].TenantID = ""
	send(t, s, d)
	all := consume(t, c, 1)
	if all[0].Key != nil || !strings.Contains(string(all[0].Value), `"class_uid":6003`) {
		t.Errorf("%s %s", all[0].Key, all[0].Value)
	}
}

// answers makes brokers answer the next n produce requests with an error.
func answers(c *kfake.Cluster, n int, code int16, done *atomic.Int64) {
	left := int64(n)
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if atomic.AddInt64(&left, -1) < 0 {
			return nil, nil, false
		}
		done.Add(1)
		asked := req.(*kmsg.ProduceRequest)
		resp := asked.ResponseKind().(*kmsg.ProduceResponse)
		for _, rt := range asked.Topics {
			topic := kmsg.NewProduceResponseTopic()
			topic.Topic, topic.TopicID = rt.Topic, rt.TopicID
			for _, rp := range rt.Partitions {
				p := kmsg.NewProduceResponseTopicPartition()
				p.Partition, p.ErrorCode = rp.Partition, code
				topic.Partitions = append(topic.Partitions, p)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil, true
	})
}

func TestFaultsOfBrokers(t *testing.T) {
	for name, tc := range map[string]struct {
		code int16
		n    int
		want error // nil: the library tries until it works
	}{
		"a new leader":            {kerr.NotLeaderForPartition.Code, 3, nil},
		"too few replicas":        {kerr.NotEnoughReplicas.Code, 3, nil},
		"a record that is bad":    {kerr.InvalidRecord.Code, 50, export.ErrRefused},
		"too much at once":        {kerr.MessageTooLarge.Code, 50, export.ErrRefused},
		"not permitted":           {kerr.TopicAuthorizationFailed.Code, 50, kerr.TopicAuthorizationFailed},
		"the disk of a broker":    {kerr.KafkaStorageError.Code, 2, nil},
		"a policy of the cluster": {kerr.PolicyViolation.Code, 50, kerr.PolicyViolation},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			var failed atomic.Int64
			answers(c, tc.n, tc.code, &failed)
			s := newSink(t, Config{Brokers: c.ListenAddrs()})
			err := s.Send(t.Context(), batch(0, 20))
			if !errors.Is(err, tc.want) || (err != nil) != (tc.want != nil) || errors.Is(err, export.ErrRefused) != errors.Is(tc.want, export.ErrRefused) {
				t.Errorf("%v", err)
			}
			if failed.Load() == 0 {
				t.Error("nothing failed")
			}
			if err == nil {
				inOrder(t, consume(t, c, 20))
			}
		})
	}
}

func TestConnectionsThatBreakWhileABatchIsOnItsWay(t *testing.T) {
	c := newCluster(t)
	s := newSink(t, Config{Brokers: c.ListenAddrs(), Timeout: 2 * time.Second})
	send(t, s, batch(0, 50))
	var cut atomic.Bool
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if cut.Load() {
			return nil, errors.New("gone"), true // the connection ends
		}
		return nil, nil, false
	})
	cut.Store(true)
	began := time.Now()
	err := s.Send(t.Context(), batch(50, 50))
	if err == nil || errors.Is(err, export.ErrRefused) || time.Since(began) > 8*time.Second {
		t.Fatalf("after %s: %v", time.Since(began), err)
	}
	cut.Store(false)
	for try := 0; ; try++ { // as the exporter does
		if err = s.Send(t.Context(), batch(50, 50)); err == nil {
			break
		}
		if try == 10 {
			t.Fatal(err)
		}
	}
	send(t, s, batch(100, 50))
	all := consume(t, c, 150)
	inOrder(t, all)
	for i := range 5 {
		if ids := firsts(all, batch(i, 1)[0].TenantID); len(ids) != 30 || !slices.IsSorted(ids) {
			t.Errorf("tenant %d: %d messages, in order: %t", i, len(ids), slices.IsSorted(ids))
		}
	}
}

func TestAClusterThatIsStartedAgain(t *testing.T) {
	dir := t.TempDir()
	c := newCluster(t, kfake.NumBrokers(1), kfake.DataDir(dir), kfake.SyncWrites())
	_, port, err := net.SplitHostPort(c.ListenAddrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	s := newSink(t, Config{Brokers: c.ListenAddrs(), Timeout: time.Second})
	send(t, s, batch(0, 50))
	c.Close()
	if err := s.Send(t.Context(), batch(50, 50)); err == nil || errors.Is(err, export.ErrRefused) || !strings.Contains(err.Error(), "refused") {
		t.Fatalf("nobody there: %v", err)
	}
	c = newCluster(t, kfake.NumBrokers(1), kfake.DataDir(dir), kfake.Ports(number))
	for try := 0; ; try++ { // as the exporter does
		if err = s.Send(t.Context(), batch(50, 50)); err == nil {
			break
		}
		if try == 10 {
			t.Fatal(err)
		}
	}
	all := consume(t, c, 100)
	inOrder(t, all)
	for i := range 5 {
		if ids := firsts(all, batch(i, 1)[0].TenantID); len(ids) != 20 || !slices.IsSorted(ids) {
			t.Errorf("tenant %d: %d messages, in order: %t", i, len(ids), slices.IsSorted(ids))
		}
	}
}

func TestASendEndsWithItsContext(t *testing.T) {
	c := newCluster(t)
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		time.Sleep(300 * time.Millisecond)
		return nil, errors.New("gone"), true
	})
	s := newSink(t, Config{Brokers: c.ListenAddrs()})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := s.Send(ctx, batch(0, 5)); err == nil || errors.Is(err, export.ErrRefused) {
		t.Error(err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("it took %s", d)
	}
}

func TestSigningIn(t *testing.T) {
	// Each client has its own: the one before may still be signing in.
	with := func(password string) func(context.Context) (secret.Value, error) {
		return func(context.Context) (secret.Value, error) {
			if password == "" {
				return secret.Value{}, errors.New("no such file")
			}
			return secret.NewValue([]byte(password)), nil
		}
	}
	for _, m := range []Mechanism{Plain, SCRAM256, SCRAM512} {
		t.Run(mechanismNames[m], func(t *testing.T) {
			c := newCluster(t, kfake.EnableSASL(), kfake.Superuser(mechanismNames[m], "verdict", canary))
			s := newSink(t, Config{Brokers: c.ListenAddrs(), SASL: SASL{m, "verdict", with(canary)}})
			send(t, s, batch(0, 5))
			for _, password := range []string{"wrong-" + canary, ""} {
				s := newSink(t, Config{Brokers: c.ListenAddrs(), SASL: SASL{m, "verdict", with(password)}, Timeout: 300 * time.Millisecond})
				err := s.Send(t.Context(), batch(0, 5))
				if err == nil || errors.Is(err, export.ErrRefused) || strings.Contains(err.Error(), canary) {
					t.Fatalf("%v", err)
				}
				why := "EOF" // this cluster hangs up on who is not who they say
				if password == "" {
					why = "no such file"
				}
				if !strings.Contains(err.Error(), why) {
					t.Errorf("it does not say why: %v", err)
				}
			}
			if got, err := ParseMechanism(mechanismNames[m]); err != nil || got != m {
				t.Error(got, err)
			}
		})
	}
	if _, err := ParseMechanism("GSSAPI"); err == nil {
		t.Error("taken")
	}
}

func TestWhatCannotWorkIsRefused(t *testing.T) {
	get := func(context.Context) (secret.Value, error) { return secret.Value{}, nil }
	at := []string{"127.0.0.1:9092"}
	for name, tc := range map[string]struct {
		cfg  Config
		want []string
	}{
		"nothing":                       {Config{}, []string{"brokers: none", "topic: none"}},
		"a broker without a port":       {Config{Brokers: []string{"kafka"}, Topic: topic}, []string{"host:port"}},
		"plain text to another machine": {Config{Brokers: []string{"kafka:9092"}, Topic: topic}, []string{"plain text"}},
		"plain text, allowed":           {Config{Brokers: []string{"kafka:9092"}, Topic: topic, Plaintext: true}, nil},
		"TLS":                           {Config{Brokers: []string{"kafka:9093"}, Topic: topic, UseTLS: true}, nil},
		"files that are not there":      {Config{Brokers: at, Topic: topic, TLS: export.TLS{CA: "/nonexistent"}}, []string{"authorities"}},
		"a user without a mechanism":    {Config{Brokers: at, Topic: topic, SASL: SASL{User: "u"}}, []string{"no mechanism"}},
		"a mechanism without a user":    {Config{Brokers: at, Topic: topic, SASL: SASL{Mechanism: Plain, Password: get}}, []string{"no user"}},
		"a mechanism of its own":        {Config{Brokers: at, Topic: topic, SASL: SASL{Mechanism: 9, User: "u", Password: get}}, []string{"unknown"}},
		"a shape of its own":            {Config{Brokers: at, Topic: topic, Shape: 9}, []string{"shape"}},
		"a negative timeout":            {Config{Brokers: at, Topic: topic, Timeout: -1}, []string{"negative"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := New(tc.cfg)
			if (err == nil) != (tc.want == nil) {
				t.Error(err)
			}
			for _, text := range tc.want {
				if err != nil && !strings.Contains(err.Error(), text) {
					t.Errorf("%v: nothing of %q", err, text)
				}
			}
			if err == nil {
				_ = s.Close()
			}
		})
	}
}

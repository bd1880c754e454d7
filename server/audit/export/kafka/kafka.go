package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/verdict-authz/verdict/server/audit/export"
	"github.com/verdict-authz/verdict/server/secret"
	"github.com/verdict-authz/verdict/store"
)

// Config tunes a Sink. Brokers and Topic must be given; of the others the zero value is usable.
type Config struct {
	Brokers   []string // host:port of some of them
	Topic     string   // there already: verdict makes none
	Shape     export.Shape
	UseTLS    bool // TLS to the brokers; implied when TLS says something
	TLS       export.TLS
	Plaintext bool // allow connections without TLS beyond this machine
	SASL      SASL
	Timeout   time.Duration // longest that a batch may take; 0 means 10s
}

// SASL is how the client signs in; the zero value: it does not.
type SASL struct {
	Mechanism Mechanism
	User      string
	Password  func(context.Context) (secret.Value, error) // asked at each sign-in
}

// Sink is an export.Sink.
type Sink struct {
	client *kgo.Client
	cfg    Config
}

var _ export.Sink = (*Sink)(nil)

// pingTime is for finding out why a batch ran out of time.
const pingTime = 2 * time.Second

// Headers of a message.
const (
	headerID   = "decision_id"
	headerType = "content-type"
)

// New returns a sink. It connects to nobody yet. Close ends its connections.
func New(cfg Config) (*Sink, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...), kgo.ClientID("verdict"), kgo.DefaultProduceTopic(cfg.Topic),
		// Idempotent is the default of the library. It takes all in-sync replicas, and refuses to be built without.
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.NoCompression()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // by the hash of the key that Kafka's own client uses
		// A batch is over when its time is: who waits for it longer loses the lease. The client then begins a new epoch, so
		// that what is left of the old one on the way cannot come in after what is sent again.
		// (Not by the library's own timeout of delivery, which begins at the time of the record: one that had to wait for
		// the brokers would never be tried.)
		kgo.AllowIdempotentProduceCancellation(),
		kgo.ProduceRequestTimeout(cfg.Timeout),
		kgo.RetryTimeout(cfg.Timeout),
		kgo.ProducerLinger(0), // Send brings the batch
		// What failed waits for fresh metadata, and so does what is over.
		kgo.MetadataMinAge(250 * time.Millisecond),
	}
	if cfg.UseTLS || cfg.TLS != (export.TLS{}) {
		secure, err := cfg.TLS.Config()
		if err != nil {
			return nil, fmt.Errorf("Kafka: %w", err) //nolint:staticcheck // a name
		}
		options = append(options, kgo.DialTLSConfig(secure))
	}
	if m := cfg.SASL.mechanism(); m != nil {
		options = append(options, kgo.SASL(m))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("Kafka client: %w", err) //nolint:staticcheck // a name
	}
	return &Sink{client: client, cfg: cfg}, nil
}

func (c *Config) validate() (err error) {
	refuse := func(bad bool, text string) {
		if bad {
			err = errors.Join(err, errors.New("Kafka "+text))
		}
	}
	refuse(len(c.Brokers) == 0, "brokers: none given")
	refuse(c.Topic == "", "topic: none given")
	refuse(c.Shape > export.OCSF, "shape: neither native nor ocsf")
	refuse(c.Timeout < 0, "timeout: negative")
	secure := c.UseTLS || c.TLS != (export.TLS{})
	for _, b := range c.Brokers {
		host, _, splitErr := net.SplitHostPort(b)
		refuse(splitErr != nil, "brokers: write host:port")
		refuse(splitErr == nil && !secure && !c.Plaintext && !local(host),
			"brokers: without TLS decisions would travel in plain text to another machine; use TLS, or allow it if something in between encrypts")
	}
	return errors.Join(err, c.SASL.validate())
}

func local(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// Send implements export.Sink.
func (s *Sink) Send(ctx context.Context, ds []store.Decision) error {
	records := make([]*kgo.Record, len(ds))
	for i := range ds {
		r, err := s.record(&ds[i])
		if err != nil {
			return fmt.Errorf("%w: %w", err, export.ErrRefused)
		}
		records[i] = r
	}
	timed, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	err := s.verdict(s.client.ProduceSync(timed, records...))
	if errors.Is(err, context.DeadlineExceeded) {
		if why := s.ping(ctx); why != nil {
			err = fmt.Errorf("%w: %w", err, why)
		}
	}
	return err
}

// ping asks the brokers for nothing but an answer, since the library tries a batch until its time is over without saying why:
// nobody there, a certificate, a wrong password.
func (s *Sink) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	return s.client.Ping(ctx)
}

func (s *Sink) record(d *store.Decision) (*kgo.Record, error) {
	value, err := s.cfg.Shape.Append(nil, d)
	if err != nil {
		return nil, err
	}
	r := &kgo.Record{
		Value: value, Timestamp: d.At,
		Headers: []kgo.RecordHeader{{Key: headerID, Value: []byte(d.ID)}, {Key: headerType, Value: []byte("application/json")}},
	}
	if d.TenantID != "" { // a record of nobody has no key and goes anywhere
		r.Key = []byte(d.TenantID)
	}
	return r, nil
}

// verdict is what the results of a batch mean together. It is the records' fault only when nothing else went wrong: what failed
// along with others may have been taken.
func (s *Sink) verdict(results kgo.ProduceResults) error {
	var refused, other error
	for _, r := range results {
		switch {
		case r.Err == nil:
		case errors.Is(r.Err, kerr.MessageTooLarge), errors.Is(r.Err, kerr.RecordListTooLarge), errors.Is(r.Err, kerr.InvalidRecord):
			refused = r.Err
		case other == nil || errors.Is(other, context.DeadlineExceeded):
			other = r.Err
		}
	}
	switch {
	case other != nil:
		return fmt.Errorf("produce to %s: %w", s.cfg.Topic, other)
	case refused != nil:
		return fmt.Errorf("produce to %s: %w: %w", s.cfg.Topic, refused, export.ErrRefused)
	}
	return nil
}

// Close ends the connections.
func (s *Sink) Close() error {
	s.client.Close()
	return nil
}

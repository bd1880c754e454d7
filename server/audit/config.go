package audit

import (
	"errors"
	"fmt"
	"time"

	"github.com/verdict-authz/verdict/server/audit/spool"
	"github.com/verdict-authz/verdict/server/policy"
)

// OnFailure says what happens to a record that cannot be kept. The zero value denies.
type OnFailure uint8

// What can be done with a record that cannot be kept.
const (
	Deny  OnFailure = iota // Record refuses it, and the decision is denied
	Count                  // it is lost and counted, and the decision stands
)

// String is the word that configuration uses.
func (o OnFailure) String() string {
	if o == Count {
		return "count"
	}
	return "deny"
}

// ParseOnFailure reads the word that configuration uses.
func ParseOnFailure(s string) (OnFailure, error) {
	switch s {
	case "deny":
		return Deny, nil
	case "count":
		return Count, nil
	}
	return Deny, fmt.Errorf("on audit failure %q: neither deny nor count", s)
}

// ParseDurability reads the word that configuration uses.
func ParseDurability(s string) (policy.Durability, error) {
	switch s {
	case "spool":
		return policy.DurabilitySpool, nil
	case "strict":
		return policy.DurabilityStrict, nil
	case "sync-db":
		return policy.DurabilitySyncDB, nil
	}
	return policy.DurabilityDefault, fmt.Errorf("durability %q: neither spool nor strict nor sync-db", s)
}

// Config tunes a Recorder. The zero value is usable.
type Config struct {
	Queue     int           // records that may wait, those being written included; 0 means 65536
	Batch     int           // most records of one write; 0 means 512
	Wait      time.Duration // longest a record waits for others to share its write; 0 means 100ms
	Timeout   time.Duration // longest one write may take; 0 means 10s
	Backoff   time.Duration // longest pause between two tries of a failing write, which starts at 50ms; 0 means 5s
	Report    time.Duration // interval of the log lines that count losses; 0 means 10s
	OnFailure OnFailure     // what is done with a record that cannot be kept

	// Durability is what a nil error of Record means. The default is spool with a spool, and without one no more than that
	// the record is in memory; of the others only sync-db can be had without a spool.
	Durability policy.Durability
	Patience   time.Duration // how long Record waits for disk or store, and at most twice that; 0 means 1s

	// FloodLimit is how many decisions of one kind that cost nothing to cause are recorded one by one in a second; those
	// above it are counted (Recorder). 0 means 100.
	FloodLimit int

	Now func() time.Time // nil means time.Now
}

// firstBackoff is the pause after the first failed try; it doubles up to Config.Backoff.
const firstBackoff = 50 * time.Millisecond

// withDefaults fills in what was left zero and refuses what makes no sense.
func (c Config) withDefaults() (Config, error) {
	var err error
	refuse := func(bad bool, text string) {
		if bad {
			err = errors.Join(err, errors.New(text))
		}
	}
	refuse(c.Queue < 0, "audit queue: negative")
	refuse(c.Batch < 0, "audit batch: negative")
	refuse(c.Wait < 0 || c.Timeout < 0 || c.Backoff < 0 || c.Report < 0 || c.Patience < 0, "audit durations: negative")
	refuse(c.Durability > policy.DurabilitySyncDB, "audit durability: neither spool nor strict nor sync-db")
	refuse(c.FloodLimit < 0, "audit flood limit: negative")
	refuse(c.OnFailure > Count, "audit on failure: neither deny nor count")
	if err != nil {
		return c, err
	}
	c.Queue = orInt(c.Queue, 65536)
	c.Batch = min(orInt(c.Batch, 512), c.Queue)
	c.Wait = orDuration(c.Wait, 100*time.Millisecond)
	c.Timeout = orDuration(c.Timeout, 10*time.Second)
	c.Backoff = orDuration(c.Backoff, 5*time.Second)
	c.Report = orDuration(c.Report, 10*time.Second)
	c.Patience = orDuration(c.Patience, time.Second)
	c.FloodLimit = orInt(c.FloodLimit, 100)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, nil
}

// keeping is what the record of an api that wants this gets, and whether it is lost rather than refused when it cannot be
// had. Without a spool whoever asks gets the store: never less than was asked for. Of what is not known the safe reading
// is taken.
func (c *Config) keeping(want policy.Keeping, spooled bool) (d policy.Durability, lose bool) {
	switch {
	case want.Durability == policy.DurabilityDefault:
		d = c.Durability
	case want.Durability > policy.DurabilitySyncDB || !spooled:
		d = policy.DurabilitySyncDB
	default:
		d = want.Durability
	}
	switch want.OnFailure {
	case policy.OnAuditFailureDefault:
		lose = c.OnFailure == Count
	case policy.OnAuditFailureCount:
		lose = true
	}
	return d, lose
}

// modeOf is how the spool keeps a record. What waits for the store need not wait for the disk before.
func modeOf(d policy.Durability) spool.Mode {
	if d == policy.DurabilityStrict {
		return spool.ModeStrict
	}
	return spool.ModeSpool
}

func orInt(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

func orDuration(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

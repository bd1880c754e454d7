package entra

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Config tunes a Verifier. Providers has no default; every other zero value is usable.
type Config struct {
	Providers []Provider

	Now  func() time.Time // nil means time.Now
	Skew time.Duration    // tolerated difference of clocks; whole seconds, at most 300s; 0 means 60s

	HTTPTimeout      time.Duration // of one request for metadata or keys; 0 means 5s
	RefreshEvery     time.Duration // between refreshes, ±10 %; 0 means 1h
	RetryAfter       time.Duration // first wait after a failed refresh, doubled up to UnknownKeyEvery; 0 means 10s
	UnknownKeyEvery  time.Duration // least time between refreshes for an unknown key, per document; 0 means 5m
	UnknownKeyWait   time.Duration // longest that one Verify waits for such a refresh; 0 means 2s
	MaxStale         time.Duration // how long keys serve after the last good refresh; 0 means 24h
	UnknownKeysKept  int           // remembered unknown keys, over all tenants; 0 means 10000
	RefreshesAtATime int           // of Refresh; 0 means 8

	// StrictRemoval drops a key as soon as a fresh document does not hold it. Without it such a key serves until MaxStale
	// after it was last published, since the servers of an issuer do not all change at once.
	StrictRemoval bool

	// CacheDir keeps what was fetched last, a file per document, so that a start without network can serve; "" keeps
	// nothing. Who can write there can sign in as anyone: the folder is made for this user alone, and one that others may
	// write is refused.
	CacheDir string
	// RequireFreshStart serves nothing from CacheDir that this process did not fetch itself.
	RequireFreshStart bool

	// Transport fetches metadata and keys, for networks with a proxy and for tests. It is then the transport that has
	// to refuse private addresses. nil means one that goes out directly and refuses them.
	Transport http.RoundTripper
}

// The defaults of Config, and its bounds.
const (
	defaultSkew = 60 * time.Second
	maxSkew     = 300 * time.Second
)

// withDefaults fills in what is zero and reports everything that cannot be worked with.
func (c Config) withDefaults() (Config, error) {
	var err error
	if len(c.Providers) == 0 {
		err = errors.Join(err, errors.New("no provider is configured: no token could be accepted"))
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Skew == 0 {
		c.Skew = defaultSkew
	}
	if c.Skew < 0 || c.Skew > maxSkew || c.Skew%time.Second != 0 {
		err = errors.Join(err, fmt.Errorf("skew %v: want whole seconds, at most %v", c.Skew, maxSkew))
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		zero  time.Duration
	}{
		{"HTTP timeout", &c.HTTPTimeout, 5 * time.Second},
		{"refresh interval", &c.RefreshEvery, time.Hour},
		{"retry wait", &c.RetryAfter, 10 * time.Second},
		{"unknown key interval", &c.UnknownKeyEvery, 5 * time.Minute},
		{"unknown key wait", &c.UnknownKeyWait, 2 * time.Second},
		{"longest staleness", &c.MaxStale, 24 * time.Hour},
	} {
		if *d.value == 0 {
			*d.value = d.zero
		}
		if *d.value < 0 {
			err = errors.Join(err, fmt.Errorf("%s %v: must not be negative", d.name, *d.value))
		}
	}
	if c.UnknownKeysKept == 0 {
		c.UnknownKeysKept = 10_000
	}
	if c.RefreshesAtATime == 0 {
		c.RefreshesAtATime = 8
	}
	if c.UnknownKeysKept < 0 || c.RefreshesAtATime < 0 {
		err = errors.Join(err, errors.New("unknown keys kept, refreshes at a time: must not be negative"))
	}
	return c, err
}

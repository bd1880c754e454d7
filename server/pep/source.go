package pep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	fetchTimeout = 3 * time.Second
	maxDocument  = 1 << 20
	maxRedirects = 3

	maxStale     = 24 * time.Hour  // keys serve no longer after they were fetched
	refreshAfter = time.Hour       // from which on keys are fetched again, beside the call that wants one
	oldEvery     = time.Minute     // least time between such fetches
	unknownEvery = 5 * time.Minute // least time between fetches for a key id that is not published
	awayEvery    = 10 * time.Second
)

// cause is why keys are fetched; each has a budget of its own.
type cause uint8

const (
	keysAway cause = iota // there are none
	keysOld
	keyUnknown
)

var least = [...]time.Duration{keysAway: awayEvery, keysOld: oldEvery, keyUnknown: unknownEvery}

// source is the keys of one issuer. Readers never wait for it, except on a key that it does not have.
type source struct {
	issuer, address string
	client          *http.Client
	now             func() time.Time
	log             *slog.Logger

	current atomic.Pointer[keySet]

	mu      sync.Mutex
	flight  chan struct{}         // closed when the fetch under way ends; nil: none is
	tried   [len(least)]time.Time // when each cause last began one
	problem string                // of the last fetch; "": it succeeded
}

// keySet is what one fetch found. It is immutable.
type keySet struct {
	keys map[string]*signingKey
	at   time.Time
}

// newSource makes the source of an issuer. Its keys are at a fixed address of the issuer's own host (IAM API reference,
// GetOutboundWebIdentityFederationInfo), so that no document can lead elsewhere.
func newSource(issuer string, client *http.Client, now func() time.Time, log *slog.Logger) *source {
	return &source{issuer: issuer, address: issuer + "/.well-known/jwks.json", client: client, now: now, log: log}
}

// usable is the current keys unless they are too old; nil when there are none.
func (s *source) usable(now time.Time) *keySet {
	set := s.current.Load()
	if set == nil || now.Sub(set.at) > maxStale {
		return nil
	}
	return set
}

// publishes says whether key is still what the issuer has under that id.
func (s *source) publishes(kid string, key *signingKey) bool {
	set := s.usable(s.now())
	return set != nil && set.keys[kid] != nil && set.keys[kid].same(key)
}

// key finds a key by its id. It waits for a fetch, at most fetchTimeout, only when it does not have it.
func (s *source) key(ctx context.Context, kid string) (*signingKey, error) {
	now := s.now()
	why := keysAway
	if set := s.usable(now); set != nil {
		if k := set.keys[kid]; k != nil {
			if now.Sub(set.at) > refreshAfter {
				s.fetchFor(keysOld, now)
			}
			return k, nil
		}
		why = keyUnknown
	}
	if done := s.fetchFor(why, now); done != nil {
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	set := s.usable(s.now())
	switch {
	case set == nil:
		return nil, unavailable("the keys of %s cannot be had; see the log of verdict for the cause", s.issuer)
	case set.keys[kid] == nil:
		return nil, refused("its issuer does not publish the key that it names")
	}
	return set.keys[kid], nil
}

// fetchFor joins the fetch under way, or begins one that outlives its caller if it is time; nil: neither.
func (s *source) fetchFor(why cause, now time.Time) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		return s.flight
	}
	if since := now.Sub(s.tried[why]); since >= 0 && since < least[why] { // a clock that went back begins anew
		return nil
	}
	s.tried[why] = now
	return s.begin()
}

// begin starts a fetch; s.mu is held.
func (s *source) begin() <-chan struct{} {
	done := make(chan struct{})
	s.flight = done
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
		defer cancel()
		keys, err := s.fetch(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err == nil {
			s.current.Store(&keySet{keys, s.now()})
		}
		s.tell(ctx, err, len(keys))
		s.flight = nil
		close(done)
	}()
	return done
}

// tell keeps the problem and writes a line when it is a new one, or is over; s.mu is held.
func (s *source) tell(ctx context.Context, err error, keys int) {
	before := s.problem
	if s.problem = ""; err != nil {
		s.problem = err.Error()
	}
	switch {
	case s.problem == before:
	case err != nil:
		s.log.WarnContext(ctx, "keys of enforcement points could not be fetched", "issuer", s.issuer, "problem", s.problem)
	default:
		s.log.InfoContext(ctx, "keys of enforcement points fetched", "issuer", s.issuer, "keys", keys)
	}
}

// refresh fetches now, or waits for the fetch under way.
func (s *source) refresh(ctx context.Context) error {
	s.mu.Lock()
	var done <-chan struct{} = s.flight
	if done == nil {
		done = s.begin()
	}
	s.mu.Unlock()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("fetch the keys of %s: %w", s.issuer, ctx.Err())
	}
	if problem := s.status().Problem; problem != "" {
		return fmt.Errorf("fetch the keys of %s: %s", s.issuer, problem)
	}
	return nil
}

func (s *source) fetch(ctx context.Context) (map[string]*signingKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxDocument {
		return nil, fmt.Errorf("the answer is longer than %d bytes", maxDocument)
	}
	return parseKeys(body)
}

// IssuerStatus is how fetching the keys of one issuer fares.
type IssuerStatus struct {
	Issuer    string
	Keys      int       // that serve now
	FetchedAt time.Time // zero: never
	Problem   string    // of the last fetch; "": it succeeded, or there was none
}

func (s *source) status() IssuerStatus {
	st := IssuerStatus{Issuer: s.issuer}
	if set := s.current.Load(); set != nil {
		st.FetchedAt = set.at
	}
	if set := s.usable(s.now()); set != nil {
		st.Keys = len(set.keys)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Problem = s.problem
	return st
}

// newClient makes the client that fetches keys. Redirects stay on their host; nothing goes through a proxy, which would decide
// where the request ends.
func newClient(transport http.RoundTripper) *http.Client {
	if transport == nil {
		dialer := &net.Dialer{Timeout: fetchTimeout, Control: func(_, address string, _ syscall.RawConn) error { return checkAddress(address) }}
		transport = &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second,
			TLSHandshakeTimeout: fetchTimeout, ResponseHeaderTimeout: fetchTimeout, MaxResponseHeaderBytes: 64 << 10,
		}
	}
	return &http.Client{Transport: transport, Timeout: fetchTimeout, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects || req.URL.Scheme != via[0].URL.Scheme || req.URL.Host != via[0].URL.Host {
			return errors.New("a redirect leaves the host, or there are too many")
		}
		return nil
	}}
}

// checkAddress runs after the name was resolved: no name leads inside.
func checkAddress(address string) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return errors.New("not an address")
	}
	if a := ap.Addr().Unmap(); !a.IsGlobalUnicast() || a.IsPrivate() {
		return errors.New("the host has a private address")
	}
	return nil
}

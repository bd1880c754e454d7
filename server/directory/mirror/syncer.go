package mirror

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/verdict-authz/verdict/server/directory"
	"github.com/verdict-authz/verdict/server/directory/graph"
	"github.com/verdict-authz/verdict/store"
)

// ErrElsewhere says that another replica makes the rounds of the tenant.
var ErrElsewhere = errors.New("another replica copies the tenant")

const (
	// storeTimeout bounds what is asked of the store, except applying a round.
	storeTimeout = 5 * time.Second
	applyTimeout = 10 * time.Minute
)

// Syncer copies tenants. Run does the work; everything else is safe for concurrent use with it.
type Syncer struct {
	store   store.MirrorWriter
	read    *reader
	log     *slog.Logger
	cfg     Config
	tenants []*tenant
}

// tenant is what a Syncer knows of one tenant.
type tenant struct {
	id    store.GUID
	kick  chan struct{}
	turn  chan struct{} // holds one: who has it makes a round
	mu    sync.Mutex
	state Status
}

// Status is how copying a tenant goes on this replica.
type Status struct {
	TenantID string
	Leads    bool      // this replica made the newest round that it knows of, and holds the lease
	Round    uint64    // the newest this replica knows of
	SyncedAt time.Time // of that round; zero: none
	FullAt   time.Time // of the last full look; zero: none
	Problem  string    // what is wrong now, for operators; empty: nothing
}

// New returns a syncer that writes to s what Graph says with tokens from tokens; all but cfg.Tenants has a default. Run
// begins.
func New(s store.MirrorWriter, tokens graph.TokenSource, log *slog.Logger, cfg Config) (*Syncer, error) {
	cfg, base, tenants, err := cfg.complete()
	if s == nil || tokens == nil || log == nil {
		err = errors.Join(err, errors.New("mirror: a store, a source of tokens and a logger are needed"))
	}
	if err != nil {
		return nil, err
	}
	y := &Syncer{store: s, log: log, cfg: cfg, read: &reader{
		base: base, tokens: tokens, log: log, timeout: cfg.Timeout, maxWait: cfg.MaxWait, most: cfg.MaxObjects, now: cfg.Now, sleep: sleep,
		http: &http.Client{
			Transport:     cfg.Transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}}
	for _, id := range tenants {
		t := &tenant{id: id, kick: make(chan struct{}, 1), turn: make(chan struct{}, 1), state: Status{TenantID: id.String()}}
		t.turn <- struct{}{}
		y.tenants = append(y.tenants, t)
	}
	return y, nil
}

// Run makes rounds until ctx ends, and returns its error. A round that is under way then is given up, and the lease with
// it. It is called once.
func (y *Syncer) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, t := range y.tenants {
		all.Go(func() { y.follow(ctx, t) })
	}
	all.Wait()
	y.read.http.CloseIdleConnections()
	return ctx.Err()
}

// Kick makes Run begin a round soon, for one who heard that something changed.
func (y *Syncer) Kick() {
	for _, t := range y.tenants {
		select {
		case t.kick <- struct{}{}:
		default:
		}
	}
}

// Status returns how copying goes, a line a tenant.
func (y *Syncer) Status() []Status {
	all := make([]Status, 0, len(y.tenants))
	for _, t := range y.tenants {
		t.mu.Lock()
		all = append(all, t.state)
		t.mu.Unlock()
	}
	return all
}

// follow makes rounds of one tenant.
func (y *Syncer) follow(ctx context.Context, t *tenant) {
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		if err := y.store.ReleaseMirror(ctx, t.id, y.cfg.Holder); err != nil { // it ends by itself, only later
			y.log.Debug("mirror lease not released", "tenant", t.id.String(), "error", err)
		}
	}()
	for {
		err := y.Sync(ctx, t.id.String())
		wait := y.cfg.Poll
		var retry *directory.RetryError
		throttled := errors.As(err, &retry) && retry.After > wait
		if throttled {
			wait = retry.After
		}
		timer := time.NewTimer(wait + rand.N(wait/20+1)) //nolint:gosec // no secret: replicas that started together drift apart
		kick := t.kick
		if throttled {
			kick = nil // to ask early counts against us
		}
		select {
		case <-timer.C:
		case <-kick:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// Sync makes one round of a tenant now. ErrElsewhere when another replica has the lease.
func (y *Syncer) Sync(ctx context.Context, tenantID string) error {
	for _, t := range y.tenants {
		if t.id.String() != tenantID {
			continue
		}
		select {
		case <-t.turn:
		case <-ctx.Done():
			return ctx.Err()
		}
		defer func() { t.turn <- struct{}{} }()
		err := y.round(ctx, t)
		if ctx.Err() == nil {
			y.note(t, err)
		}
		return err
	}
	return errors.New("mirror: the tenant is not configured")
}

// note keeps what is wrong, if anything, and logs when that changes.
func (y *Syncer) note(t *tenant, err error) {
	problem := ""
	elsewhere := errors.Is(err, ErrElsewhere)
	if err != nil && !elsewhere {
		problem = err.Error()
	}
	t.mu.Lock()
	was := t.state
	t.state.Problem = problem
	t.state.Leads = !elsewhere && (err == nil || was.Leads)
	now := t.state
	t.mu.Unlock()
	switch {
	case problem != "" && was.Problem == "":
		y.log.Warn("mirror does not follow graph", "tenant", now.TenantID, "problem", problem, "synced_at", now.SyncedAt.Format(time.RFC3339))
	case problem == "" && was.Problem != "":
		y.log.Info("mirror follows graph again", "tenant", now.TenantID, "round", now.Round)
	}
	if now.Leads != was.Leads {
		y.log.Info("mirror lease", "tenant", now.TenantID, "held", now.Leads)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

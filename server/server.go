package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/access"
	"github.com/verdict-authz/verdict/server/admin"
	"github.com/verdict-authz/verdict/server/admin/trail"
	"github.com/verdict-authz/verdict/server/audit"
	"github.com/verdict-authz/verdict/server/audit/export"
	"github.com/verdict-authz/verdict/server/audit/keep"
	"github.com/verdict-authz/verdict/server/audit/privacy"
	"github.com/verdict-authz/verdict/server/audit/seal"
	"github.com/verdict-authz/verdict/server/condition"
	"github.com/verdict-authz/verdict/server/directory"
	"github.com/verdict-authz/verdict/server/directory/mirror"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/extauthz"
	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/pep"
	"github.com/verdict-authz/verdict/server/revocation"
	"github.com/verdict-authz/verdict/server/secret"
	"github.com/verdict-authz/verdict/server/snapshot"
	"github.com/verdict-authz/verdict/server/trust"
	"github.com/verdict-authz/verdict/server/web"
	"github.com/verdict-authz/verdict/store"
)

// Server is a verdict process: its listeners and what works behind them.
type Server struct {
	log      *slog.Logger
	store    store.Store
	follower *snapshot.Follower
	verifier *entra.Verifier
	trust    *trust.Feed
	feed     *revocation.Feed
	groups   *directory.Resolver
	gate     *pep.Gate
	syncer   *mirror.Syncer // nil: groups are not copied
	recorder *audit.Recorder
	redactor *privacy.Redactor // between the decisions and the recorder
	ahead    *keep.Ahead
	exports  []*export.Exporter
	sealer   *seal.Sealer // nil: nothing is sealed
	trail    *trail.Service
	draining context.Context // ends when calls are to end: streams would last
	endCalls context.CancelFunc
	secrets  *secret.Set                   // nil: there are none
	jobs     []func(context.Context) error // run beside the listeners until they have stopped
	health   *health.Server
	drain    time.Duration

	decision, admin *grpc.Server
	web             *web.Server // nil: health and metrics are not served
	stopping        atomic.Bool

	decisionLis, adminLis, webLis net.Listener
}

// New checks the options and the store's schema, opens both listeners and wires everything; nothing is served before Run.
// The store stays the caller's to close, after Run has returned.
func New(ctx context.Context, st store.Store, o Options) (*Server, error) {
	if st == nil || o.Log == nil {
		return nil, errors.New("server: store and log are required")
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := st.CheckSchema(ctx); err != nil {
		return nil, fmt.Errorf("check the store: %w", err)
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = 10 * time.Second
	}
	s := &Server{log: o.Log, store: st, health: health.NewServer(), drain: o.DrainTimeout, secrets: o.Secrets}
	s.draining, s.endCalls = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.wire(ctx, o); err != nil {
		return nil, errors.Join(err, s.abandon())
	}
	return s, nil
}

// wire makes the collaborators, inner ones first.
func (s *Server) wire(ctx context.Context, o Options) (err error) {
	if s.follower, err = snapshot.NewFollower(s.store, condition.Compile, o.Log, snapshot.Config{Poll: o.PolicyPoll, MaxAge: o.MaxPolicyAge}); err != nil {
		return err
	}
	if s.feed, err = revocation.NewFeed(s.store, o.Log, revocation.Config{MaxAge: o.RevocationMaxAge}); err != nil {
		return err
	}
	providers, authorities := signIns(o.Entra.Providers)
	o.Entra.Providers = providers
	if s.verifier, err = entra.NewVerifier(o.Entra, o.Log); err != nil {
		return err
	}
	if err = s.wireTrust(ctx, o); err != nil {
		return err
	}
	if err = s.wireGroups(o); err != nil {
		return err
	}
	if s.decisionLis, err = listen(ctx, o.Decision); err != nil {
		return err
	}
	if s.adminLis, err = listen(ctx, o.Admin); err != nil {
		return err
	}
	if s.recorder, err = newRecorder(s.store, o); err != nil {
		return err
	}
	if err = s.wireEvidence(o); err != nil {
		return err
	}
	measured, err := s.wireWeb(ctx, o)
	if err != nil {
		return err
	}
	decider, err := pdp.New(s.follower, s.verifier, s.feed, s.redactor, o.Log, pdp.Config{Anonymous: !o.Privacy.Key.IsZero(), Observer: measured, Authorities: authorities, Groups: s.groups})
	if err != nil {
		return err
	}
	known, err := newRules()
	if err != nil {
		return err
	}
	around := &interceptor{log: o.Log, rules: known, draining: s.draining}
	if s.gate, err = pep.New(o.PEP, o.Log); err != nil {
		return err
	}
	if err := s.wireDecision(ctx, decider, &interceptor{log: o.Log, rules: known, gate: s.gate, draining: s.draining}, o); err != nil {
		return err
	}
	return s.wireAdmin(around, o)
}

// wireTrust tells the verifier what administrators said of whom to trust, before a token is looked at.
func (s *Server) wireTrust(ctx context.Context, o Options) (err error) {
	if s.trust, err = trust.NewFeed(s.store, s.verifier, o.Log, trust.Config{}); err != nil {
		return err
	}
	if err = s.trust.Sync(ctx); err != nil {
		return fmt.Errorf("follow whom to trust: %w", err)
	}
	return nil
}

func (s *Server) wireDecision(ctx context.Context, decider *pdp.PDP, around *interceptor, o Options) error {
	envoy, err := extauthz.New(decider, extauthz.Config{Verbose: o.Verbose})
	if err != nil {
		return err
	}
	direct, err := access.New(decider, access.Config{MaxTTL: o.DecisionTTL, Verbose: o.Verbose})
	if err != nil {
		return err
	}
	aws, err := newCredentials(ctx, decider, direct, o)
	if err != nil {
		return err
	}
	creds, err := transport(o.Decision)
	if err != nil {
		return fmt.Errorf("decision listener: %w", err)
	}
	s.decision = newGRPC(creds, maxDecisionRequest, around, s.health)
	authv3.RegisterAuthorizationServer(s.decision, envoy)
	verdictv1.RegisterDecisionServiceServer(s.decision, direct)
	if aws != nil {
		verdictv1.RegisterCredentialsServiceServer(s.decision, aws)
	}
	return nil
}

func (s *Server) wireAdmin(around *interceptor, o Options) error {
	policies, err := admin.NewPolicyService(s.store, s.follower, condition.Compile, admin.PolicyConfig{Validate: around.rules.check})
	if err != nil {
		return err
	}
	revocations, err := admin.NewRevocationService(s.store, s.feed, admin.RevocationConfig{})
	if err != nil {
		return err
	}
	system, err := admin.NewSystemService(s.follower, s.recorder, s.verifier, s.feed, admin.SystemConfig{Version: o.Version, Directories: s.directoryStatus, Problems: s.problems})
	if err != nil {
		return err
	}
	directories, err := admin.NewDirectoryService(s.store, s.trust, s.verifier, admin.DirectoryConfig{Groups: s.directoryGroups(o)})
	if err != nil {
		return err
	}
	creds, err := transport(o.Admin)
	if err != nil {
		return fmt.Errorf("admin listener: %w", err)
	}
	s.admin = newGRPC(creds, maxAdminRequest, around, s.health)
	verdictv1.RegisterPolicyServiceServer(s.admin, policies)
	verdictv1.RegisterAuditServiceServer(s.admin, s.trail)
	verdictv1.RegisterDirectoryServiceServer(s.admin, directories)
	verdictv1.RegisterRevocationServiceServer(s.admin, revocations)
	verdictv1.RegisterSystemServiceServer(s.admin, system)
	return nil
}

// abandon closes what wire had opened when it failed.
func (s *Server) abandon() error {
	s.endCalls()
	var err error
	for _, l := range []net.Listener{s.decisionLis, s.adminLis, s.webLis} {
		if l != nil {
			err = errors.Join(err, l.Close())
		}
	}
	if s.recorder != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err = errors.Join(err, s.recorder.Close(ctx))
	}
	return err
}

// DecisionAddr is where decisions are served.
func (s *Server) DecisionAddr() net.Addr { return s.decisionLis.Addr() }

// AdminAddr is where administration is served.
func (s *Server) AdminAddr() net.Addr { return s.adminLis.Addr() }

// Run serves until ctx ends, then stops in order: health says NOT_SERVING, calls under way are finished, the audit
// records are flushed, and last the watchers are let go. It returns nil after an orderly stop.
func (s *Server) Run(ctx context.Context) error {
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx)) // outlives ctx until the drain is done
	defer stopWork()
	background, workCtx := errgroup.WithContext(work)
	background.Go(func() error { return ended(s.follower.Run(workCtx)) })
	background.Go(func() error { return ended(s.feed.Run(workCtx)) })
	background.Go(func() error { return s.firstKeys(workCtx) })
	background.Go(func() error { _ = s.gate.Refresh(workCtx); return nil }) // the gate has logged what failed, and asks again
	background.Go(func() error { return ended(s.verifier.Run(workCtx)) })
	background.Go(func() error { return ended(s.trust.Run(workCtx)) })
	for _, job := range s.jobs {
		background.Go(func() error { return ended(job(workCtx)) })
	}
	if s.syncer != nil {
		background.Go(func() error { return ended(s.syncer.Run(workCtx)) })
	}
	background.Go(func() error { s.watchHealth(workCtx); return nil })

	watched, watchedCtx := errgroup.WithContext(ctx)
	watched.Go(s.serveWeb)
	serving, serveCtx := errgroup.WithContext(watchedCtx)
	serving.Go(func() error { return served(s.decision.Serve(s.decisionLis)) })
	serving.Go(func() error { return served(s.admin.Serve(s.adminLis)) })
	serving.Go(func() error { // who serves stops when something behind it fails
		select {
		case <-serveCtx.Done():
			return nil
		case <-workCtx.Done():
			return errBehind
		}
	})
	s.log.InfoContext(ctx, "listening", s.addresses()...)
	<-serveCtx.Done()

	s.log.InfoContext(ctx, "stopping")
	s.stopping.Store(true)
	s.health.Shutdown()
	s.endCalls()
	s.drainCalls()
	err := serving.Wait()
	stopWork()
	err = errors.Join(err, background.Wait())
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.drain)
	defer cancel()
	if closeErr := s.recorder.Close(flush); closeErr != nil {
		err = errors.Join(err, fmt.Errorf("flush decision records: %w", closeErr))
	}
	s.stopWeb(context.WithoutCancel(ctx))
	err = errors.Join(err, watched.Wait())
	s.log.InfoContext(ctx, "stopped")
	return err
}

var errBehind = errors.New("stopped by what follows")

// firstKeys fetches the keys of every issuer once. One that is away is tried again by and by; one whose discovery document
// says that it is somebody else is a wrong configuration, and ends the process.
func (s *Server) firstKeys(ctx context.Context) error {
	if err := s.verifier.Refresh(ctx); errors.Is(err, entra.ErrIssuer) {
		return fmt.Errorf("--authority, --tenant, --providers-file: %w", err)
	}
	return nil
}

// drainCalls lets both servers finish their calls, up to the drain timeout.
func (s *Server) drainCalls() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.decision.GracefulStop()
		s.admin.GracefulStop()
	}()
	select {
	case <-done:
	case <-time.After(s.drain):
		s.decision.Stop()
		s.admin.Stop()
		<-done
	}
}

// served drops the error of a Serve that was told to stop before it had begun.
func served(err error) error {
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// ended drops the error of a context that ended, which is how background work is told to stop.
func ended(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

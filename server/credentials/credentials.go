package credentials

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/secret"
)

// Decider answers questions; *pdp.PDP is one.
type Decider interface {
	Decide(ctx context.Context, q *pdp.Question) pdp.Answer
	DecideAll(ctx context.Context, qs []pdp.Question) []pdp.Answer
	Permissions(ctx context.Context, q *pdp.Question) (held, conditional []string, a pdp.Answer)
}

// STS makes credentials; *sts.Client is one.
type STS interface {
	// Assume asks for a session. token is the caller's, and read for WebIdentity only. An error is or wraps *RefusedError,
	// ErrUnavailable or one of ctx; it holds nothing that AWS or the caller said but AWS's code.
	Assume(ctx context.Context, s *Session, token secret.Value) (Issued, error)
}

// Issued is what STS made.
type Issued struct {
	AccessKeyID         string
	SecretAccessKey     secret.Value
	SessionToken        secret.Value
	ExpiresAt           time.Time
	ARN                 string // of the session
	PackedPolicyPercent int    // how much of the room for tags and policies was used
}

// Respond translates an answer as the decision service does, so that callers of both read the same of it.
type Respond func(a *pdp.Answer) *verdictv1.CheckResponse

// Config tunes a Server. The zero value is usable when every role of the file names its region.
type Config struct {
	Region    string           // of roles that name none
	PerMinute int              // credentials per principal and minute; 0 means 10
	Burst     int              // of which at once; 0 means 10
	Timeout   time.Duration    // longest that STS is waited for, within the caller's deadline; 0 means 10s
	Now       func() time.Time // nil means time.Now
}

// Server implements verdict.v1.CredentialsService. It is safe for concurrent use.
type Server struct {
	verdictv1.UnimplementedCredentialsServiceServer
	decider Decider
	sts     STS
	roles   *Roles
	respond Respond
	log     *slog.Logger
	limit   *limiter
	region  string
	timeout time.Duration
	now     func() time.Time
}

// New returns the door; all collaborators are required.
func New(d Decider, sts STS, roles *Roles, respond Respond, log *slog.Logger, cfg Config) (*Server, error) {
	if d == nil || sts == nil || roles == nil || respond == nil || log == nil {
		return nil, errors.New("credentials: decider, STS, roles, respond and log are required")
	}
	if cfg.PerMinute < 0 || cfg.PerMinute > 60_000 || cfg.Burst < 0 || cfg.Timeout < 0 {
		return nil, errors.New("credentials: a limit is below zero, or above 60000 a minute")
	}
	if cfg.Region != "" && !regionForm.MatchString(cfg.Region) {
		return nil, fmt.Errorf("credentials: %q is no region", cfg.Region)
	}
	if err := roles.inRegion(cfg.Region); err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	if cfg.PerMinute == 0 {
		cfg.PerMinute = 10
	}
	if cfg.Burst == 0 {
		cfg.Burst = 10
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Server{
		decider: d, sts: sts, roles: roles, respond: respond, log: log, limit: newLimiter(cfg.PerMinute, cfg.Burst),
		region: cfg.Region, timeout: cfg.Timeout, now: cfg.Now,
	}, nil
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/verdict-authz/verdict/store"
)

// Password is where the password of the database comes from, when it is not in the URL. It may change at any time: who comes
// first, it or the database, does not matter.
type Password interface {
	// Get is the password to connect with. It is asked for each connection, and waits only while there has never been one.
	Get(ctx context.Context) (string, error)
	// Previous is the one before, as long as the database may still want it.
	Previous(ctx context.Context) (string, bool)
	// Refresh looks for a newer one, since the database has refused the one that Get gave. It says when there is too
	// little time since the last look.
	Refresh(ctx context.Context) error
	// Changed gets a value after a change. There is one receiver, the Store.
	Changed() <-chan struct{}
}

const (
	// previousFor is how long the previous password is the first choice, once the database took it and not the current one.
	previousFor = 5 * time.Second
	// firstProofPause is before a new password that the database refuses is tried again; it doubles up to maxProofPause.
	firstProofPause = 250 * time.Millisecond
	maxProofPause   = 30 * time.Second
)

// invalidPassword is the SQLSTATE of a password that is refused.
const invalidPassword = "28P01"

// login gives connections their password. A nil login leaves that to the URL.
type login struct {
	password Password

	mu            sync.Mutex
	previousUntil time.Time     // until then the previous password comes first
	turned        chan struct{} // closed when connections have to be made anew
}

func newLogin(p Password) *login { return &login{password: p, turned: make(chan struct{})} }

// attempt is one try to connect. Its address travels in the context, through the pool, to beforeConnect.
type attempt struct {
	use  string // what to connect with; "" means what login chooses
	used string
}

type attemptKey struct{}

// beforeConnect sets the password of a connection that is about to be made.
func (l *login) beforeConnect(ctx context.Context, cc *pgx.ConnConfig) error {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	if a == nil {
		a = &attempt{} // the pool's own doing
	}
	a.used = a.use
	if a.used == "" {
		chosen, err := l.choose(ctx)
		if err != nil {
			return fmt.Errorf("password: %w: %w", store.ErrUnavailable, err)
		}
		a.used = chosen
	}
	cc.Password = a.used
	return nil
}

func (l *login) choose(ctx context.Context) (string, error) {
	l.mu.Lock()
	first := time.Now().Before(l.previousUntil)
	l.mu.Unlock()
	if first {
		if previous, ok := l.password.Previous(ctx); ok {
			return previous, nil
		}
	}
	return l.password.Get(ctx)
}

// prefer says for how long the previous password comes first.
func (l *login) prefer(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.previousUntil = time.Now().Add(d)
}

// try runs f, which may have to connect, again with another password when the database refuses the one. f has done nothing
// when it is refused.
func (l *login) try(ctx context.Context, f func(ctx context.Context) error) error {
	if l == nil {
		return f(ctx)
	}
	with := func(password string) (used string, err error) {
		a := &attempt{use: password}
		err = f(context.WithValue(ctx, attemptKey{}, a))
		if isRefused(err) { // else a connection may still be under way, for the pool, and writes to a
			used = a.used
		}
		return used, err
	}
	used, err := with("")
	if !isRefused(err) {
		return err
	}
	_ = l.password.Refresh(ctx) // its own account of a failure is enough; what it has is tried anyway
	current, failed := l.password.Get(ctx)
	if failed == nil && current != used {
		if _, err = with(current); !isRefused(err) {
			l.prefer(0)
			return err
		}
	}
	previous, ok := l.password.Previous(ctx)
	if !ok || previous == used {
		return err
	}
	if _, err = with(previous); !isRefused(err) {
		l.prefer(previousFor)
		return err
	}
	// Between the two tries the database may have taken the change.
	if failed == nil {
		_, err = with(current)
	}
	return err
}

// isRefused says that a connection was not made because of its password.
func isRefused(err error) bool {
	var connect *pgconn.ConnectError
	var pg *pgconn.PgError
	return errors.As(err, &connect) && errors.As(err, &pg) && pg.Code == invalidPassword
}

// connect makes a connection outside of the pool.
func (l *login) connect(ctx context.Context, config *pgx.ConnConfig) (conn *pgx.Conn, err error) {
	err = l.try(ctx, func(ctx context.Context) error {
		cc := config.Copy()
		if l != nil {
			if err := l.beforeConnect(ctx, cc); err != nil {
				return err
			}
		}
		conn, err = pgx.ConnectConfig(ctx, cc)
		return err
	})
	return conn, err
}

// turn is closed when connections have to be made anew; nil, and so never, without a login.
func (l *login) turn() <-chan struct{} {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.turned
}

// announce closes turn.
func (l *login) announce() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.previousUntil = time.Time{}
	close(l.turned)
	l.turned = make(chan struct{})
}

// handOver follows changes of the password until ctx ends. The new one is proved on a connection of its own first, and until
// that goes well the pool stays as it is. Then its idle connections close at once, those in use when they come back, and the
// ones that listen are made anew: what is under way ends in peace, and at no time are there more connections than the pool
// may have, which a second pool beside it would need.
func (s *Store) handOver(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.pool.login.password.Changed():
		}
		if !s.proveUntilTaken(ctx) {
			return
		}
		s.pool.login.announce()
		s.pool.pgx.Reset()
		s.log.InfoContext(ctx, "database password changed")
	}
}

// proveUntilTaken tries the current password until the database takes it. It says false when ctx ends before.
func (s *Store) proveUntilTaken(ctx context.Context) bool {
	pause := firstProofPause
	for {
		err := s.prove(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if pause == firstProofPause || pause == maxProofPause {
			s.log.WarnContext(ctx, "new database password not taken yet", "error", err, "retry_in", pause)
		}
		select {
		case <-ctx.Done():
			return false
		case <-s.pool.login.password.Changed(): // the newer one is tried
			pause = firstProofPause
		case <-time.After(pause):
			pause = min(2*pause, maxProofPause)
		}
	}
}

// prove connects with the current password and no other.
func (s *Store) prove(ctx context.Context) error {
	cc := s.pool.Config().ConnConfig
	ctx, cancel := context.WithTimeout(ctx, cc.ConnectTimeout)
	defer cancel()
	var err error
	if cc.Password, err = s.pool.login.password.Get(ctx); err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, cc)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// WithPassword is a postgres:// URL with this password, for what connects once and ends (a migration). It holds a secret then.
func WithPassword(databaseURL, password string) (string, error) {
	u, err := url.Parse(databaseURL)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", errors.New("postgres: not a postgres:// URL") // without the URL, which may hold a password
	}
	if _, has := u.User.Password(); has || u.Query().Has("password") {
		return "", errTwoPasswords
	}
	if password == "" {
		return "", errors.New("postgres: the password is empty")
	}
	user := u.User.Username()
	if user == "" { // it may be a parameter, and userinfo without a user would hide it
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += "password=" + strings.ReplaceAll(url.QueryEscape(password), "+", "%20") // pgx takes + for itself
		return u.String(), nil
	}
	u.User = url.UserPassword(user, password)
	return u.String(), nil
}

var errTwoPasswords = errors.New("postgres: a password in the URL, PGPASSWORD or the password file, and a source of passwords: give one of them")

// guard makes config ask l for passwords.
func (l *login) guard(config *pgxpool.Config) error {
	if config.ConnConfig.Password != "" {
		return errTwoPasswords
	}
	config.BeforeConnect = l.beforeConnect
	return nil
}

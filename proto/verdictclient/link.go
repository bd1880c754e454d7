package verdictclient

import (
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// link is a connection and who uses it. What changes belongs to Client.mu.
type link struct {
	conn     *grpc.ClientConn
	service  verdictv1.DecisionServiceClient
	used     time.Time // when it last carried an answer, or was made
	made     time.Time
	answered bool // it has carried an answer
	users    int
	retired  bool // another has taken its place: the last user closes it
}

func (c *Client) dial() (*link, error) {
	conn, err := grpc.NewClient(c.cfg.Target, c.opts...)
	if err != nil {
		return nil, fmt.Errorf("verdictclient: %w", err)
	}
	return &link{conn: conn, service: verdictv1.NewDecisionServiceClient(conn), used: c.cfg.Now(), made: c.cfg.Now()}, nil
}

// take returns the connection to ask on, a new one when that in use has rested too long, and whether
// there is a doubt about it. The taker releases it.
func (c *Client) take() (l *link, doubtful bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return nil, false, status.Error(codes.Canceled, "verdictclient: closed")
	}
	rest := rested(c.link.used, c.cfg.Now())
	if rest > c.cfg.IdleLimit && c.link.users == 0 {
		if err := c.replace(); err != nil {
			return nil, false, err
		}
		rest = 0
	}
	c.link.users++
	return c.link, rest > doubted, nil
}

// patience is how long a connection that never carried an answer is left to gRPC, which paces its attempts: verdict may be down,
// and a new connection for each question would be a storm when it comes back.
const patience = time.Second

// rested is how long ago t was. A freeze stops one clock or the other, depending on what froze: the larger difference is
// right, and a wall clock that jumps costs a connection.
func rested(t, now time.Time) time.Duration {
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

// release gives a connection back; one that lost a question is used for no other.
func (c *Client) release(l *link, lost bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.users--
	switch {
	case l.retired:
		if l.users == 0 {
			_ = l.conn.Close()
		}
	case !lost:
		l.used, l.answered = c.cfg.Now(), true
	case !c.done && (l.answered || rested(l.made, c.cfg.Now()) > patience):
		_ = c.replace() // fails only for settings that have worked before; then the old one stays
	}
}

// replace puts a new connection in the place of the one in use.
func (c *Client) replace() error {
	fresh, err := c.dial()
	if err != nil {
		return err
	}
	old := c.link
	old.retired = true
	if old.users == 0 {
		_ = old.conn.Close()
	}
	c.link = fresh
	return nil
}

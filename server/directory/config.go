package directory

import (
	"errors"
	"fmt"
	"time"
)

// Mode says who answers for the groups of a caller.
type Mode string

// The modes. Token: what the token lists, and the source only when the token says that its list is elsewhere, or for
// privileged permissions. Graph: the source, for everyone. Mirror: the source, which is a copy, and the fallback when
// the copy is old. LDAP: the source's groups beside those of Entra.
const (
	Token  Mode = "token"
	Graph  Mode = "graph"
	Mirror Mode = "mirror"
	LDAP   Mode = "ldap"
)

// Config tunes a Resolver. The zero value believes tokens and has no source.
type Config struct {
	Mode Mode // "" means Token
	// Source is asked as Mode says. Only in mode Token may it be nil.
	Source Source
	// Fallback is asked when Source is away, does not know the principal, or answers with what is too old. In mode LDAP it
	// stands for Entra's part instead: it is asked when the token does not list the groups of Entra.
	Fallback Source
	// MaxStaleness is the greatest age of an answer; 0 means 15 minutes.
	MaxStaleness time.Duration
	// Local says that Source answers from a copy of its own, so that nothing is kept before it. Mode Mirror implies it.
	Local bool
	Cache CacheConfig
	Now   func() time.Time // nil means time.Now
}

// CacheConfig tunes what is kept of a source that is asked over a network. The zero value is usable.
type CacheConfig struct {
	Bytes    uint64        // of all that is kept, about; 0 means 64 MiB, room for 20 000 principals with 50 groups
	Positive time.Duration // how long an answer is as good as new; 0 means 5 minutes
	Empty    time.Duration // the same of an empty list; 0 means 1 minute
	// HardLife is how old an answer may become as long as the source is away; 0 means 15 minutes.
	HardLife time.Duration
	// Lookup bounds one lookup with its retries, however many wait for it and for how long; 0 means 15 s.
	Lookup time.Duration
	// Pause is how long a failure is remembered, so that a source that is away is not asked by every request; 0 means 1 s.
	Pause time.Duration
	// Lookups bounds how many run at once; 0 means 1000. What comes on top is ErrUnavailable.
	Lookups int
}

const defaultMaxStaleness = 15 * time.Minute

func (c CacheConfig) withDefaults() CacheConfig {
	if c.Bytes == 0 {
		c.Bytes = 64 << 20
	}
	if c.Lookups == 0 {
		c.Lookups = 1000
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.Positive, 5 * time.Minute},
		{&c.Empty, time.Minute},
		{&c.HardLife, 15 * time.Minute},
		{&c.Lookup, 15 * time.Second},
		{&c.Pause, time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return c
}

// validate reports all that is wrong with c once its defaults are in.
func (c CacheConfig) validate() (err error) {
	if c.Positive < 0 || c.Empty < 0 || c.HardLife < 0 || c.Lookup < 0 || c.Pause < 0 || c.Lookups < 0 {
		err = errors.Join(err, errors.New("directory cache: a negative value"))
	}
	if c.HardLife < c.Positive || c.HardLife < c.Empty {
		err = errors.Join(err, errors.New("directory cache: an answer would be good for longer than its hard life"))
	}
	return err
}

// complete fills in the defaults and reports all that is wrong.
func (c Config) complete() (Config, error) {
	var err error
	if c.Mode == "" {
		c.Mode = Token
	}
	if c.MaxStaleness == 0 {
		c.MaxStaleness = defaultMaxStaleness
	}
	if c.MaxStaleness < 0 {
		err = errors.Join(err, errors.New("directory: a negative greatest age"))
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	switch c.Mode {
	case Token:
	case Graph, Mirror, LDAP:
		if c.Source == nil {
			err = errors.Join(err, fmt.Errorf("directory: mode %s needs a source", c.Mode))
		}
	default:
		err = errors.Join(err, fmt.Errorf("directory: unknown mode %q; there are token, graph, mirror and ldap", c.Mode))
	}
	if c.Source == nil && c.Fallback != nil {
		err = errors.Join(err, errors.New("directory: a fallback without a source"))
	}
	c.Local = c.Local || c.Mode == Mirror
	c.Cache = c.Cache.withDefaults()
	return c, errors.Join(err, c.Cache.validate())
}

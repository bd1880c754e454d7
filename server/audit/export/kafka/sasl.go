package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Mechanism is a way to sign in. The zero value is none.
type Mechanism uint8

// The mechanisms.
const (
	NoSASL Mechanism = iota
	Plain
	SCRAM256
	SCRAM512
)

var mechanismNames = [...]string{NoSASL: "", Plain: "PLAIN", SCRAM256: "SCRAM-SHA-256", SCRAM512: "SCRAM-SHA-512"}

// ParseMechanism reads the name that Kafka uses; "" is none.
func ParseMechanism(text string) (Mechanism, error) {
	for m, name := range mechanismNames {
		if name == text {
			return Mechanism(m), nil
		}
	}
	return NoSASL, fmt.Errorf("SASL mechanism %q: none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512", text)
}

func (s SASL) validate() error {
	switch {
	case int(s.Mechanism) >= len(mechanismNames):
		return errors.New("Kafka SASL: unknown mechanism") //nolint:staticcheck // a name
	case s.Mechanism == NoSASL && (s.User != "" || s.Password != nil):
		return errors.New("Kafka SASL: a user or a password, and no mechanism") //nolint:staticcheck // a name
	case s.Mechanism != NoSASL && (s.User == "" || s.Password == nil):
		return errors.New("Kafka SASL: a mechanism, and no user or no password") //nolint:staticcheck // a name
	}
	return nil
}

// mechanism is what the client signs in with; nil: it does not.
func (s SASL) mechanism() sasl.Mechanism {
	ofScram := func(ctx context.Context) (scram.Auth, error) {
		pass, err := s.password(ctx)
		return scram.Auth{User: s.User, Pass: pass}, err
	}
	switch s.Mechanism {
	case Plain:
		return plain.Plain(func(ctx context.Context) (plain.Auth, error) {
			pass, err := s.password(ctx)
			return plain.Auth{User: s.User, Pass: pass}, err
		})
	case SCRAM256:
		return scram.Sha256(ofScram)
	case SCRAM512:
		return scram.Sha512(ofScram)
	}
	return nil
}

func (s SASL) password(ctx context.Context) (string, error) {
	v, err := s.Password(ctx)
	if err != nil {
		return "", fmt.Errorf("password of %s: %w", s.User, err)
	}
	return v.Reveal(), nil
}

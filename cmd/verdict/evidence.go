package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/verdict-authz/verdict/server"
	"github.com/verdict-authz/verdict/server/audit/privacy"
	"github.com/verdict-authz/verdict/server/audit/seal"
	"github.com/verdict-authz/verdict/server/audit/seal/s3sink"
	"github.com/verdict-authz/verdict/server/secret"
)

// evidenceFlags say what decision records hold of people and how they are proven.
type evidenceFlags struct {
	AuditAddresses    string        `default:"network" enum:"network,full,none" help:"What records hold of a caller's address: network (/24 or /48), full, or none."`
	AuditPseudonymKey secret.Ref    `help:"Secret of 32 random bytes, in hexadecimal or base64: records then name users by pseudonyms that change monthly. None: by object id." placeholder:"REF"`
	AuditSealKey      secret.Ref    `help:"Secret that holds the Ed25519 key which seals records; verdict audit keygen makes one. None: they are not sealed." placeholder:"REF"`
	AuditSealEvery    time.Duration `default:"1h" help:"Length of the windows that are sealed, a whole part of a day."`
	AuditDigests      string        `help:"Folder or s3://bucket/prefix that gets a copy of each digest." placeholder:"WHERE"`
}

// Names under which the secrets are read; also what errors call them.
const (
	pseudonymKeyFlag = "--audit-pseudonym-key"
	sealKeyFlag      = "--audit-seal-key"
)

func (f *evidenceFlags) validate() (err error) {
	if f.AuditSealEvery < time.Minute || 24*time.Hour%f.AuditSealEvery != 0 {
		err = errors.Join(err, fmt.Errorf("--audit-seal-every: %s is not a whole part of a day of at least 1m", f.AuditSealEvery))
	}
	if f.AuditSealKey.IsZero() && (f.AuditDigests != "" || f.AuditSealEvery != time.Hour) {
		err = errors.Join(err, errors.New("--audit-digests, --audit-seal-every: nothing is sealed without --audit-seal-key"))
	}
	return err
}

// refs are the secrets that are asked for.
func (f *evidenceFlags) refs() map[string]secret.Ref {
	return map[string]secret.Ref{pseudonymKeyFlag: f.AuditPseudonymKey, sealKeyFlag: f.AuditSealKey}
}

// apply reads the keys out of the secrets. Both are read once: a new one takes a restart.
func (f *evidenceFlags) apply(ctx context.Context, o *server.Options, secrets *secret.Set) (err error) {
	o.Privacy.Addresses, _ = privacy.ParseAddresses(f.AuditAddresses) // kong lets no other word through
	if text, known, readErr := reveal(ctx, secrets, pseudonymKeyFlag); known {
		var keyErr error
		if readErr == nil {
			o.Privacy.Key, keyErr = privacy.ParseKey(text)
		}
		err = errors.Join(err, named(pseudonymKeyFlag, errors.Join(readErr, keyErr)))
	}
	text, known, readErr := reveal(ctx, secrets, sealKeyFlag)
	if !known {
		return err
	}
	o.Seal.Every = f.AuditSealEvery
	var keyErr, sinkErr error
	if readErr == nil {
		o.Seal.Key, keyErr = seal.ParsePrivateKey(text)
	}
	if f.AuditDigests != "" {
		o.Seal.Sink, sinkErr = digestSink(ctx, f.AuditDigests)
	}
	return errors.Join(err, named(sealKeyFlag, errors.Join(readErr, keyErr)), named("--audit-digests", sinkErr))
}

func digestSink(ctx context.Context, where string) (seal.Sink, error) {
	if s3sink.IsURL(where) {
		return s3sink.New(ctx, where, s3sink.Config{})
	}
	return seal.NewFolder(where)
}

// reveal is the secret of a flag; not known when the flag names none.
func reveal(ctx context.Context, secrets *secret.Set, flag string) (text []byte, known bool, err error) {
	source := secrets.Source(flag)
	if source == nil {
		return nil, false, nil
	}
	v, err := source.Get(ctx)
	if err != nil {
		return nil, true, err
	}
	return []byte(v.Reveal()), true, nil
}

// named puts a flag before what is wrong with it.
func named(flag string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", flag, err)
}

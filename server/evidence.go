package server

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"iter"
	"time"

	"github.com/verdict-authz/verdict/server/admin/review"
	"github.com/verdict-authz/verdict/server/admin/trail"
	"github.com/verdict-authz/verdict/server/audit/export"
	"github.com/verdict-authz/verdict/server/audit/keep"
	"github.com/verdict-authz/verdict/server/audit/privacy"
	"github.com/verdict-authz/verdict/server/audit/seal"
	"github.com/verdict-authz/verdict/store"
)

// Seal says how decision records are proven. Without a key they are not.
type Seal struct {
	Key   ed25519.PrivateKey // nil: nothing is sealed
	Every time.Duration      // length of a window; 0 means 1h
	Sink  seal.Sink          // gets a copy of each digest; nil: no copies
}

// Export is where decision records go beside the store. The sink stays the caller's to end, after Run has returned.
type Export struct {
	Name  string // of the cursor and the lease: otlp, files or kafka
	Sink  export.Sink
	Start export.Start // where it begins the first time
}

// wireEvidence makes what stands around the records: who is named in them, the days that they are kept in, their proof, and
// the questions about them.
func (s *Server) wireEvidence(o Options) (err error) {
	if s.redactor, err = privacy.New(s.recorder, o.Privacy); err != nil {
		return err
	}
	if s.ahead, err = keep.NewAhead(s.store, o.Log, keep.Config{}); err != nil {
		return err
	}
	s.jobs = append(s.jobs, s.ahead.Run)
	if o.Secrets != nil {
		s.jobs = append(s.jobs, func(ctx context.Context) error { o.Secrets.Run(ctx); return nil })
	}
	if o.Seal.Key != nil {
		if s.sealer, err = seal.New(s.store, o.Seal.Key, o.Log, seal.Config{Every: o.Seal.Every, Sink: o.Seal.Sink}); err != nil {
			return err
		}
		s.jobs = append(s.jobs, s.sealer.Run)
	}
	for _, x := range o.Exports {
		e, err := export.New(s.store, x.Sink, o.Log, export.Config{Name: x.Name, Start: x.Start})
		if err != nil {
			return err
		}
		s.exports, s.jobs = append(s.exports, e), append(s.jobs, e.Run)
	}
	reviewer, err := review.New(s.store, s.store, s.store, review.Config{})
	if err != nil {
		return err
	}
	s.trail, err = trail.New(s.store, s.follower, reviewer, s.pseudonyms(o), trail.Config{})
	return err
}

// pseudonyms are those of the records; nil without a key.
func (s *Server) pseudonyms(o Options) trail.Pseudonyms {
	if o.Privacy.Key.IsZero() {
		return nil
	}
	return func(tenant, principal string, from, to time.Time) iter.Seq2[string, string] {
		return func(yield func(month, pseudonym string) bool) {
			for _, m := range s.redactor.Pseudonyms(tenant, principal, from, to) {
				if !yield(m.Month, m.Pseudonym) {
					return
				}
			}
		}
	}
}

// minDays is how many days ahead must have a partition before somebody is told: verdict makes them a week ahead.
const minDays = 2

// problems is what is wrong beside policy, records, revocations and keys, a sentence each, with what to do.
func (s *Server) problems() []string {
	all := append(s.trustProblems(), s.secretProblems()...)
	if days := s.ahead.Stats(); days.LastError != "" && days.Through.Before(store.Day(time.Now()).AddDate(0, 0, minDays)) {
		all = append(all, fmt.Sprintf("audit: the partitions of the coming days cannot be made: %s; check the store and the rights of its user", days.LastError))
	}
	for _, e := range s.exports {
		now := e.Stats()
		if now.LastError == "" {
			continue
		}
		waited := ""
		if now.Lag > 0 {
			waited = fmt.Sprintf(", the oldest record has waited %s", now.Lag.Round(time.Second))
		}
		all = append(all, fmt.Sprintf("audit: the export to %s fails%s: %s", e.Name(), waited, now.LastError))
	}
	if s.sealer == nil {
		return all
	}
	sealed := s.sealer.Stats()
	if sealed.LastError != "" {
		all = append(all, fmt.Sprintf("audit: records are not sealed: %s; check the store and --audit-digests", sealed.LastError))
	}
	if sealed.Findings > 0 {
		all = append(all, fmt.Sprintf("audit: the sealer found %d records or copies that were changed or are gone; the log has each, and verdict audit verify names them all", sealed.Findings))
	}
	return all
}

// secretProblems are the secrets whose last read failed.
func (s *Server) secretProblems() (all []string) {
	if s.secrets == nil {
		return nil
	}
	for _, one := range s.secrets.Stats() {
		if one.Problem != "" {
			all = append(all, fmt.Sprintf("secret: %s: %s; the last good value stays in use", one.Ref, one.Problem))
		}
	}
	return all
}

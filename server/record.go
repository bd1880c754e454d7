package server

import (
	"errors"

	"github.com/verdict-authz/verdict/server/audit"
	"github.com/verdict-authz/verdict/server/audit/spool"
	"github.com/verdict-authz/verdict/store"
)

// newRecorder starts the recorder that the options ask for, over a spool or in memory.
func newRecorder(st store.Store, o Options) (*audit.Recorder, error) {
	if o.Spool.Dir == "" {
		return audit.NewRecorder(st, o.Log, o.Audit)
	}
	sp, err := spool.Open(o.Spool.Dir, o.Log, spool.Config{MaxBytes: o.Spool.MaxBytes})
	if err != nil {
		return nil, err
	}
	r, err := audit.NewSpooled(st, sp, o.Log, o.Audit)
	if err != nil {
		return nil, errors.Join(err, sp.Close())
	}
	return r, nil
}

package audit

import "sync/atomic"

// refusals counts the records of which Record said no, or would have with OnFailure Deny.
type refusals struct {
	lost     atomic.Uint64 // not taken, with OnFailure Count
	refused  atomic.Uint64 // with OnFailure Deny
	uncommit atomic.Uint64 // taken, but not committed in time
	last     atomic.Pointer[error]
}

// answer is what Record says of a record that was not taken.
func (f *refusals) answer(err error, lose bool) error {
	if lose {
		f.lost.Add(1)
	}
	return f.known(err, lose)
}

// late is what it says of one that was taken and is not yet committed. That is no loss: it waits to be written.
func (f *refusals) late(err error, lose bool) error {
	f.uncommit.Add(1)
	return f.known(err, lose)
}

// known is what it says of one that is accounted for as lost, or is not lost.
func (f *refusals) known(err error, lose bool) error {
	f.remember(err)
	if lose {
		return nil
	}
	f.refused.Add(1)
	return err
}

// remember costs an allocation only where there is something new to say: records may be refused by the million.
func (f *refusals) remember(err error) {
	if last := f.last.Load(); last == nil || *last != err { //nolint:errorlint // the very same, not one like it
		said := err
		f.last.Store(&said)
	}
}

// addTo completes the account.
func (f *refusals) addTo(s *Stats) {
	s.Lost += f.lost.Load()
	s.Refused = f.refused.Load()
	s.Late = f.uncommit.Load()
	if err := f.last.Load(); err != nil {
		s.LastRefusal = (*err).Error()
	}
}

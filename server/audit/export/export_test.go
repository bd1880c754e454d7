package export_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/audit/export"
	"github.com/verdict-authz/verdict/store"
)

func TestAnExporterBeginsWhereItIsToldAndGoesOnFromThere(t *testing.T) {
	for name, tc := range map[string]struct {
		start export.Start
		want  int
	}{
		"now: without the records that are there":        {export.StartNow, 5},
		"the beginning: with the records that are there": {export.StartBeginning, 15},
	} {
		t.Run(name, func(t *testing.T) {
			s, k := newSQLite(t), new(sink)
			appendAll(t, s, records('a', 1, 11))
			cfg := export.Config{Start: tc.start}
			first := run(t, s, k, cfg)
			until(t, "a cursor", func() bool { c, err := s.Cursor(t.Context(), "export/test"); return err == nil && c != "" })
			first.stop() // before anything new: the place where it began is kept
			appendAll(t, s, records('a', 11, 16))
			second := run(t, s, k, cfg)
			until(t, "all records", func() bool { return len(k.records()) >= tc.want })
			until(t, "it has caught up", func() bool { return second.Stats().Lag == 0 })
			second.stop()
			if got := k.records(); len(got) != tc.want || got[len(got)-1].Seq != 15 {
				t.Errorf("%d records, want %d", len(got), tc.want)
			}
		})
	}
}

func TestASinkThatIsDownDelaysAndLosesNothing(t *testing.T) {
	s, k := newSQLite(t), new(sink)
	k.breaks(func([]store.Decision) error { return errors.New("connection refused") })
	e := run(t, s, k, export.Config{Start: export.StartBeginning, Batch: 7, Now: func() time.Time { return begin.Add(time.Hour) }})
	appendAll(t, s, records('a', 1, 51))
	appendAll(t, s, records('b', 1, 31))
	until(t, "three failures", func() bool { return e.Stats().Failures >= 3 })
	st := e.Stats()
	if st.LastError == "" || !st.Holding || st.Exported != 0 || st.Lag != time.Hour-time.Millisecond || !st.Oldest.Equal(begin.Add(time.Millisecond)) {
		t.Errorf("while it is down: %+v", st)
	}
	k.breaks(nil)
	until(t, "all records", func() bool { return len(k.records()) == 80 })
	until(t, "no lag", func() bool { st := e.Stats(); return st.Lag == 0 && st.LastError == "" && st.Exported == 80 })
	inOrder(t, k.records())
	if !e.log.has("export fails") || !e.log.has("export works again") {
		t.Error("the log does not tell")
	}
}

func TestARecordThatIsNeverTakenIsPassedOnlyBesideOthers(t *testing.T) {
	s, k := newSQLite(t), new(sink)
	all := records('a', 1, 41)
	bad := map[string]bool{all[0].ID: true, all[1].ID: true, all[20].ID: true}
	k.breaks(func(ds []store.Decision) error {
		for _, d := range ds {
			if bad[d.ID] {
				return fmt.Errorf("too strange: %w", export.ErrRefused)
			}
		}
		return nil
	})
	e := run(t, s, k, export.Config{Start: export.StartBeginning})
	appendAll(t, s, all[:2])
	until(t, "failures", func() bool { return e.Stats().Failures >= 3 })
	if st := e.Stats(); st.Refused != 0 || st.Lag == 0 {
		t.Errorf("a sink that takes none: %+v", st)
	}
	appendAll(t, s, all[2:])
	until(t, "the others", func() bool { return e.Stats().Exported == 37 })
	until(t, "no lag", func() bool { return e.Stats().Lag == 0 })
	if st := e.Stats(); st.Refused != 3 || distinct(k.records()) != 37 {
		t.Errorf("%+v, %d records", st, distinct(k.records()))
	}
	for id := range bad {
		if !e.log.has(id) {
			t.Errorf("the log does not name %s", id)
		}
	}
	// It has seen the sink work: one that comes alone is told from a sink that is at fault.
	alone := records('a', 41, 42)
	bad[alone[0].ID] = true
	appendAll(t, s, alone)
	until(t, "the fourth", func() bool { return e.Stats().Refused == 4 && e.log.has(alone[0].ID) })
}

func TestASinkThatRefusesEverythingIsWaitedFor(t *testing.T) {
	s, k := newSQLite(t), new(sink)
	e := run(t, s, k, export.Config{Start: export.StartBeginning, Batch: 4})
	appendAll(t, s, records('a', 1, 3))
	until(t, "the first records", func() bool { return len(k.records()) == 2 })
	k.breaks(func([]store.Decision) error { return export.ErrRefused })
	appendAll(t, s, records('a', 3, 13))
	until(t, "failures", func() bool { return e.Stats().Failures >= 3 })
	k.breaks(nil)
	until(t, "all", func() bool { return distinct(k.records()) == 12 })
	if st := e.Stats(); st.Refused != 0 {
		t.Errorf("%+v", st)
	}
}

func TestRejectedRecordsOfABatchAreCounted(t *testing.T) {
	s, k := newSQLite(t), new(sink)
	k.breaks(func(ds []store.Decision) error {
		if len(ds) > 5 {
			return &export.Partial{Rejected: 2, Why: "too old\n\x1b[31m"}
		}
		return &export.Partial{Why: "a warning"}
	})
	e := run(t, s, k, export.Config{Start: export.StartBeginning})
	appendAll(t, s, records('a', 1, 11))
	until(t, "the batch", func() bool { return e.Stats().Exported == 8 })
	appendAll(t, s, records('a', 11, 13))
	until(t, "two more", func() bool { return e.Stats().Exported == 10 })
	if st := e.Stats(); st.Refused != 2 || len(k.records()) != 12 || e.log.has("\x1b") || !e.log.has("too old") {
		t.Errorf("%+v, %d records", st, len(k.records()))
	}
}

func TestASinkIsNotAskedSoonerThanItWants(t *testing.T) {
	s, k := newSQLite(t), new(sink)
	var asked atomic.Int64
	k.breaks(func([]store.Decision) error {
		if asked.Add(1) == 1 {
			return fmt.Errorf("busy: %w", &export.Later{After: 400 * time.Millisecond, Err: errors.New("429")})
		}
		return nil
	})
	run(t, s, k, export.Config{Start: export.StartBeginning})
	appendAll(t, s, records('a', 1, 3))
	until(t, "the first try", func() bool { return asked.Load() == 1 })
	first := time.Now()
	until(t, "the second", func() bool { return asked.Load() == 2 })
	if d := time.Since(first); d < 350*time.Millisecond {
		t.Errorf("asked again after %s", d)
	}
}

// shaky is a store whose SetCursor does what it is asked and then says that it may not have.
type shaky struct {
	store.Store
	lies atomic.Int64
}

func (s *shaky) SetCursor(ctx context.Context, name, value, expect string) error {
	err := s.Store.SetCursor(ctx, name, value, expect)
	if err == nil && s.lies.Add(-1) >= 0 {
		return store.ErrUnavailable
	}
	return err
}

func TestACursorWhoseOutcomeIsUnknownIsLookedUp(t *testing.T) {
	k := new(sink)
	s := &shaky{Store: newSQLite(t)}
	s.lies.Store(2)
	e := run(t, s, k, export.Config{Start: export.StartBeginning})
	appendAll(t, s, records('a', 1, 6))
	until(t, "all", func() bool { return e.Stats().Exported == 5 })
	appendAll(t, s, records('a', 6, 8))
	until(t, "the next", func() bool { return e.Stats().Exported == 7 })
	if n := len(k.records()); n != 7 {
		t.Errorf("%d records, want each once", n)
	}
}

func TestWhoLosesTheCursorStopsAndBeginsAgain(t *testing.T) {
	s, k := newSQLite(t), new(sink)
	e := run(t, s, k, export.Config{Start: export.StartBeginning})
	appendAll(t, s, records('a', 1, 6))
	until(t, "the first", func() bool { return e.Stats().Exported == 5 })
	// Somebody else exports the records up to 9, and the cursor says so before we do.
	k.breaks(func(ds []store.Decision) error {
		if err := s.AppendDecisions(t.Context(), records('a', 9, 10)); err != nil {
			return err
		}
		tail, err := s.DecisionsAfter(t.Context(), store.TailCursor{}, store.DecisionFilter{}, 100)
		if err != nil {
			return err
		}
		was, err := s.Cursor(t.Context(), "export/test")
		if err != nil {
			return err
		}
		k.fault = nil
		return s.SetCursor(t.Context(), "export/test", tail.Cursor.String(), was)
	})
	appendAll(t, s, records('a', 6, 9))
	until(t, "it lets go", func() bool { return e.log.has("export ends here") })
	appendAll(t, s, records('a', 10, 12))
	until(t, "the rest", func() bool { return distinct(k.records()) == 10 })
	if got := k.records(); got[len(got)-1].Seq != 11 || got[len(got)-2].Seq != 10 {
		t.Errorf("%d records, and not from the other's cursor on", len(got))
	}
}

// tended is a sink that looks after something.
type tended struct {
	sink
	held, free atomic.Int64
}

func (s *tended) Tend(_ context.Context, holding bool) error {
	if holding {
		s.held.Add(1)
	} else {
		s.free.Add(1)
	}
	return nil
}

func TestASinkIsTendedAndLetsGoBeforeTheLeaseEnds(t *testing.T) {
	s, k, other := newSQLite(t), new(tended), new(tended)
	e := run(t, s, k, export.Config{})
	until(t, "a look with nothing to send", func() bool { return k.held.Load() > 1 })
	waiting := run(t, s, other, export.Config{LeaseTTL: time.Second})
	until(t, "the other is told that it does not export", func() bool { return other.free.Load() > 1 })
	if waiting.Stats().Holding || other.held.Load() != 0 {
		t.Error("both export")
	}
	if k.free.Load() != 0 {
		t.Error("let go while it exports")
	}
	e.stop()
	if k.free.Load() != 1 || e.Stats().Holding {
		t.Error("not let go at the end")
	}
	until(t, "the other exports at once", func() bool { return other.held.Load() > 0 })
}

func TestWhatCannotWorkIsRefused(t *testing.T) {
	s, log := newSQLite(t), slog.New(slog.DiscardHandler)
	for name, tc := range map[string]struct {
		store export.Store
		sink  export.Sink
		cfg   export.Config
		want  string
	}{
		"no store":              {nil, new(sink), export.Config{Name: "x"}, "a store"},
		"no sink":               {s, nil, export.Config{Name: "x"}, "a sink"},
		"no name":               {s, new(sink), export.Config{}, "name"},
		"a negative batch":      {s, new(sink), export.Config{Name: "x", Batch: -1}, "batch"},
		"a negative duration":   {s, new(sink), export.Config{Name: "x", Poll: -1}, "duration"},
		"a start of its own":    {s, new(sink), export.Config{Name: "x", Start: 7}, "start"},
		"the zero value is all": {s, new(sink), export.Config{Name: "x"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := export.New(tc.store, tc.sink, log, tc.cfg)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Error(err)
			}
		})
	}
	for _, text := range []string{"now", "beginning"} {
		if got, err := export.ParseStart(text); err != nil || got.String() != text {
			t.Error(got, err)
		}
	}
	for _, text := range []string{"native", "ocsf"} {
		if got, err := export.ParseShape(text); err != nil || got.String() != text {
			t.Error(got, err)
		}
	}
	if _, err := export.ParseStart("later"); err == nil {
		t.Error("taken")
	}
	if _, err := export.ParseShape("xml"); err == nil {
		t.Error("taken")
	}
}

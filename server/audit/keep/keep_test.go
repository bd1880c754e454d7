package keep_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verdict-authz/verdict/server/audit/archive"
	"github.com/verdict-authz/verdict/server/audit/keep"
	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

var today = time.Date(2031, 3, 10, 12, 0, 0, 0, time.UTC)

// record is the n-th of a day, so many days ago.
func record(ago, n int) store.Decision {
	at := store.Day(today).AddDate(0, 0, -ago).Add(time.Duration(n) * time.Minute)
	return store.Decision{
		ID: fmt.Sprintf("%08x-%04x-7000-8000-%012x", at.UnixMilli()>>16, at.UnixMilli()&0xffff, n), At: at, API: "orders",
		Instance: "one", Epoch: 1, Seq: uint64(1000*(100-ago) + n + 1), Grants: []string{"g"},
	}
}

// filled is a store with ten records on each of the last days.
func filled(t *testing.T, days int) store.Store {
	t.Helper()
	st, err := postgres.Open(t.Context(), postgres.Config{URL: pgtest.New(t)}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	parts, err := st.Partitions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts { // of the days in which this test happens to run
		if err := errors.Join(st.DetachPartition(t.Context(), p.Name), st.DropPartition(t.Context(), p.Name)); err != nil {
			t.Fatal(err)
		}
	}
	for ago := days; ago >= 0; ago-- {
		var ds []store.Decision
		for n := range 10 {
			ds = append(ds, record(ago, n))
		}
		if err := st.AppendDecisions(t.Context(), ds); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

func days(steps []keep.Step, action keep.Action) (n int) {
	for _, s := range steps {
		if s.Action == action {
			n++
		}
	}
	return n
}

func count(t *testing.T, st store.Store) int {
	t.Helper()
	ds, err := st.ListDecisions(t.Context(), store.DecisionFilter{}, store.DecisionCursor{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return len(ds)
}

func TestOldDaysGoIntoArchivesAndOthersStay(t *testing.T) {
	st, dir := filled(t, 6), t.TempDir()
	r := keep.Retention{Days: 3, Archive: dir}
	steps, err := r.Plan(t.Context(), st, today)
	if err != nil || days(steps, keep.Drop) != 3 {
		t.Fatalf("%+v, %v", steps, err)
	}
	if count(t, st) != 70 {
		t.Error("a plan changes something")
	}
	// It ends halfway and is begun again.
	ctx, cancel := context.WithCancel(t.Context())
	err = r.Apply(ctx, st, steps, func(keep.Result) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if steps, err = r.Plan(t.Context(), st, today); err != nil || len(steps) != 2 {
		t.Fatalf("%+v, %v", steps, err)
	}
	if err := r.Apply(t.Context(), st, steps, func(res keep.Result) {
		if res.Archive.Records != 10 {
			t.Errorf("%+v", res)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if n := count(t, st); n != 40 {
		t.Errorf("%d records stay, want those of today and three days", n)
	}
	n := 0
	for d, err := range archive.Records(dir, "decisions_"+record(5, 0).At.Format("20060102")) {
		if err != nil || d.ID != record(5, n).ID {
			t.Fatal(d, err)
		}
		n++
	}
	if n != 10 {
		t.Errorf("%d records in the archive", n)
	}
}

func TestADetachedDayIsFinished(t *testing.T) {
	st, dir := filled(t, 3), t.TempDir()
	name := "decisions_" + record(3, 0).At.Format("20060102")
	if err := st.DetachPartition(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Write(dir, name, st.ExportPartition(t.Context(), name)); err != nil { // and there it ended
		t.Fatal(err)
	}
	r := keep.Retention{Days: 2, Archive: dir}
	steps, err := r.Plan(t.Context(), st, today)
	if err != nil || days(steps, keep.Drop) != 1 {
		t.Fatalf("%+v, %v", steps, err)
	}
	if err := r.Apply(t.Context(), st, steps, func(keep.Result) {}); err != nil {
		t.Fatal(err)
	}
	if steps, _ = r.Plan(t.Context(), st, today); len(steps) != 0 {
		t.Errorf("left %+v", steps)
	}
}

func TestNothingGoesWhoseArchiveIsNotWhatItHolds(t *testing.T) {
	st, dir := filled(t, 3), t.TempDir()
	name := "decisions_" + record(3, 0).At.Format("20060102")
	if _, err := archive.Write(dir, name, func(yield func(store.Decision, error) bool) { yield(record(3, 0), nil) }); err != nil {
		t.Fatal(err)
	}
	r := keep.Retention{Days: 2, Archive: dir}
	steps, err := r.Plan(t.Context(), st, today)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Apply(t.Context(), st, steps, func(keep.Result) { t.Error("dropped") }); !errors.Is(err, archive.ErrDamaged) {
		t.Error(err)
	}
	if err := os.Remove(dir + "/" + name + ".json"); err != nil { // half an archive does not count
		t.Fatal(err)
	}
	if err := r.Apply(t.Context(), st, steps, func(keep.Result) {}); err != nil {
		t.Error(err)
	}
}

func TestWhatIsStillNeededStays(t *testing.T) {
	st := filled(t, 4)
	plan := func(r keep.Retention) []keep.Step {
		t.Helper()
		r.Days, r.NoArchive = 1, true
		steps, err := r.Plan(t.Context(), st, today)
		if err != nil {
			t.Fatal(err)
		}
		return steps
	}
	if steps := plan(keep.Retention{Exporters: []string{"export/otlp"}}); days(steps, keep.Drop) != 3 {
		t.Errorf("an exporter that never ran holds days: %+v", steps)
	}
	tail, err := st.DecisionsAfter(t.Context(), store.TailCursor{}, store.DecisionFilter{}, 15) // a day and a half
	if err != nil {
		t.Fatal(err)
	}
	if err := st.SetCursor(t.Context(), "export/otlp", tail.Cursor.String(), ""); err != nil {
		t.Fatal(err)
	}
	steps := plan(keep.Retention{Exporters: []string{"export/otlp"}})
	if days(steps, keep.Drop) != 1 || steps[1].Action != keep.Stay || !strings.Contains(steps[1].Why, "export/otlp") {
		t.Errorf("%+v", steps)
	}
	from := store.Day(record(4, 0).At)
	if err := st.AppendDigest(t.Context(), store.Digest{
		Number: 1, Kind: store.DigestHourly, From: from, To: from.Add(30 * time.Hour), Root: make([]byte, sha256.Size),
	}); err != nil {
		t.Fatal(err)
	}
	if steps := plan(keep.Retention{}); days(steps, keep.Drop) != 1 || !strings.Contains(steps[1].Why, "sealed") {
		t.Errorf("%+v", steps)
	}
	if steps := plan(keep.Retention{Unsealed: true}); days(steps, keep.Drop) != 3 {
		t.Errorf("%+v", steps)
	}
}

func TestADayThatAnExporterHasNotReadDoesNotGoBecauseTheOneBeforeIsDetached(t *testing.T) {
	st := filled(t, 4)
	// The first day is one that is detached, of which there are more numbers than a look takes; of the second another
	// instance, which has no such gap, has a younger record only.
	far := record(4, 0)
	far.ID, far.Seq = strings.Replace(far.ID, "-8000-", "-8001-", 1), 1
	other := record(1, 0)
	other.ID, other.Instance, other.Seq = strings.Replace(other.ID, "-8000-", "-8001-", 1), "two", 1
	if err := st.AppendDecisions(t.Context(), []store.Decision{far, other}); err != nil {
		t.Fatal(err)
	}
	if err := st.SetCursor(t.Context(), "export/otlp", store.TailCursor{Since: store.Day(record(4, 0).At)}.String(), ""); err != nil {
		t.Fatal(err)
	}
	if err := st.DetachPartition(t.Context(), "decisions_"+record(4, 0).At.Format("20060102")); err != nil { // and there it ended
		t.Fatal(err)
	}
	r := keep.Retention{Days: 1, NoArchive: true, Exporters: []string{"export/otlp"}}
	steps, err := r.Plan(t.Context(), st, today)
	if err != nil || days(steps, keep.Drop) != 1 || days(steps, keep.Stay) != 2 {
		t.Errorf("%+v, %v", steps, err)
	}
}

func TestADayStaysWhileWhatCameLateForItIsSealed(t *testing.T) {
	st := filled(t, 3)
	end := store.Day(today)
	if err := st.AppendDigest(t.Context(), store.Digest{
		Number: 1, Kind: store.DigestHourly, From: end.AddDate(0, 0, -4), To: end, Root: make([]byte, sha256.Size),
	}); err != nil {
		t.Fatal(err)
	}
	r := keep.Retention{Days: 1, NoArchive: true}
	steps, err := r.Plan(t.Context(), st, end.Add(time.Hour)) // of the day before yesterday the sealer still looks at most
	if err != nil || days(steps, keep.Drop) != 1 || steps[1].Action != keep.Stay || !strings.Contains(steps[1].Why, "late") {
		t.Errorf("%+v, %v", steps, err)
	}
}

func TestRetentionGoesOnAfterSomethingCameLateForADayThatIsGone(t *testing.T) {
	st, dir := filled(t, 4), t.TempDir()
	r := keep.Retention{Days: 2, Archive: dir}
	retain := func() (archived uint64) {
		t.Helper()
		steps, err := r.Plan(t.Context(), st, today)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Apply(t.Context(), st, steps, func(res keep.Result) { archived += res.Archive.Records }); err != nil {
			t.Fatal(err)
		}
		return archived
	}
	if n := retain(); n != 20 {
		t.Errorf("%d records in the archives", n)
	}
	late := record(4, 30)
	if err := st.AppendDecisions(t.Context(), []store.Decision{late}); err != nil {
		t.Fatal(err)
	}
	if n := retain(); n != 1 {
		t.Errorf("%d records that came late in the archives", n)
	}
}

func TestRetentionSaysAllThatIsWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		r    keep.Retention
		want []string
	}{
		"nothing is said":    {keep.Retention{}, []string{"--keep-days", "--archive, --no-archive"}},
		"both are said":      {keep.Retention{Days: 1, Archive: "d", NoArchive: true}, []string{"--archive, --no-archive"}},
		"everything is well": {keep.Retention{Days: 1, NoArchive: true}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.r.Validate()
			if (err == nil) != (tc.want == nil) {
				t.Fatal(err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not say %q", err, want)
				}
			}
		})
	}
}

// days that a store was asked to make.
type fakeDays struct {
	store.DecisionKeeper
	asked atomic.Int64
	away  atomic.Bool
}

func (f *fakeDays) EnsurePartitions(context.Context, time.Time, int) (int, error) {
	f.asked.Add(1)
	if f.away.Load() {
		return 0, store.ErrUnavailable
	}
	return 1, nil
}

func TestDaysAreMadeAheadAndSoonerAgainAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fakeDays)
		f.away.Store(true)
		a, err := keep.NewAhead(f, slog.New(slog.DiscardHandler), keep.Config{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.Run(ctx) }()
		synctest.Wait()
		if s := a.Stats(); s.Failures != 1 || s.LastError == "" || !s.Through.IsZero() {
			t.Errorf("%+v", s)
		}
		f.away.Store(false)
		time.Sleep(7 * time.Minute)
		synctest.Wait()
		if s := a.Stats(); f.asked.Load() != 2 || s.LastError != "" || !s.Through.Equal(store.Day(time.Now()).AddDate(0, 0, 7)) {
			t.Errorf("asked %d times: %+v", f.asked.Load(), s)
		}
		time.Sleep(67 * time.Minute)
		synctest.Wait()
		if f.asked.Load() != 3 {
			t.Errorf("asked %d times", f.asked.Load())
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

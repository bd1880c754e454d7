package seal_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/migrations"
	"github.com/verdict-authz/verdict/server/audit/seal"
	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
	"github.com/verdict-authz/verdict/store/sqlite"
)

// start is when the records of the tests begin, the hour of a day long past: what came late is no longer waited for.
var start = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

// desk is a store, a key and a clock.
type desk struct {
	t   *testing.T
	st  store.Store
	url string // of Postgres; empty: SQLite
	key ed25519.PrivateKey
	pub ed25519.PublicKey

	mu  sync.Mutex
	now time.Time
}

func (d *desk) Now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

func (d *desk) at(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = now
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	url := pgtest.New(t)
	st, err := postgres.Open(t.Context(), postgres.Config{URL: url}, slog.New(slog.DiscardHandler))
	must(t, err)
	d := deskOn(t, st)
	d.url = url
	return d
}

func newLightDesk(t *testing.T) *desk {
	t.Helper()
	path := t.TempDir() + "/verdict.db"
	_, err := migrations.Up(t.Context(), migrations.Target{SQLitePath: path})
	must(t, err)
	st, err := sqlite.Open(t.Context(), path)
	must(t, err)
	return deskOn(t, st)
}

func deskOn(t *testing.T, st store.Store) *desk {
	t.Cleanup(st.Close)
	key := ed25519.NewKeyFromSeed(slices.Repeat([]byte{7}, ed25519.SeedSize))
	return &desk{t: t, st: st, key: key, pub: key.Public().(ed25519.PublicKey), now: start.Add(3*time.Hour + 5*time.Minute)}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// record is the n-th of an instance, a minute after the one before.
func record(n int) store.Decision {
	d := store.Decision{
		At: start.Add(time.Duration(n) * time.Minute), Allowed: n%3 != 0, Reason: 1, Revision: uint64(n%4) + 1, TenantID: "t", PrincipalID: "p",
		API: "orders", Route: "r", Permissions: []string{"orders.read"}, Instance: "verdict-0", Epoch: 3, Seq: uint64(n) + 1,
	}
	return finish(d, n)
}

func finish(d store.Decision, n int) store.Decision {
	d.ID = fmt.Sprintf("%08x-%04x-7000-8000-%012x", d.At.UnixMilli()>>16, d.At.UnixMilli()&0xffff, n)
	leaf := seal.Leaf(&d)
	d.Leaf = leaf[:]
	return d
}

func (d *desk) keep(ns ...int) {
	d.t.Helper()
	for _, n := range ns {
		must(d.t, d.st.AppendDecisions(d.t.Context(), []store.Decision{record(n)}))
	}
}

func upTo(n int) (l []int) {
	for i := range n {
		l = append(l, i)
	}
	return l
}

func (d *desk) sealer(cfg seal.Config) *seal.Sealer {
	d.t.Helper()
	cfg.Now = d.Now
	s, err := seal.New(d.st, d.key, slog.New(slog.DiscardHandler), cfg)
	must(d.t, err)
	return s
}

func (d *desk) seal(cfg seal.Config) seal.Stats {
	d.t.Helper()
	cfg.Holder = "test"
	s := d.sealer(cfg)
	must(d.t, s.Round(d.t.Context()))
	return s.Stats()
}

func (d *desk) verify(cfg seal.VerifyConfig) *seal.Result {
	d.t.Helper()
	return d.verifyRange(time.Time{}, time.Time{}, cfg)
}

func (d *desk) verifyRange(from, to time.Time, cfg seal.VerifyConfig) *seal.Result {
	d.t.Helper()
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return start.AddDate(0, 1, 0) }
	}
	r, err := seal.Verify(d.t.Context(), d.st, []ed25519.PublicKey{d.pub}, from, to, cfg)
	must(d.t, err)
	return r
}

// tamper runs statements as the owner, past the triggers.
func (d *desk) tamper(statements ...string) {
	d.t.Helper()
	conn, err := pgx.Connect(d.t.Context(), d.url)
	must(d.t, err)
	defer conn.Close(context.Background())
	var off []string
	for _, table := range []string{"decisions_" + start.Format("20060102"), "digests", "revisions", "changes", "revocation_changes", "trust_changes"} {
		off = append(off, "ALTER TABLE IF EXISTS "+table+" DISABLE TRIGGER ALL")
	}
	for _, s := range append(off, statements...) {
		tag, err := conn.Exec(d.t.Context(), s)
		if err != nil {
			d.t.Fatalf("%s: %v", s, err)
		}
		if !tag.Update() && !tag.Delete() {
			continue
		}
		if tag.RowsAffected() == 0 {
			d.t.Fatalf("%s: nothing was changed", s)
		}
	}
}

// found are the kinds of findings and what they name.
func found(r *seal.Result) (l []string) {
	for _, f := range r.Findings {
		l = append(l, string(f.Kind)+" "+f.What())
	}
	slices.Sort(l)
	return l
}

func want(t testing.TB, r *seal.Result, findings ...string) {
	t.Helper()
	slices.Sort(findings)
	if got := found(r); !slices.Equal(got, findings) || r.Found != uint64(len(findings)) {
		t.Errorf("found %d: %q\nwant %q", r.Found, got, findings)
	}
}

func what(n int) string {
	return fmt.Sprintf("%s (verdict-0, start 3, number %d)", record(n).ID, n+1)
}

func TestEachWindowIsSealedAndVerifies(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *desk{"Postgres": newDesk, "SQLite": newLightDesk} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			d.keep(upTo(60)...)   // the first hour
			d.keep(121, 122, 123) // the third; the second is empty
			d.keep(200)           // the fourth, which is not over
			must(t, d.st.AppendDecisions(t.Context(), noSource()))
			s := d.seal(seal.Config{})
			if s.LastDigest != 3 || s.Sealed != 3 || s.Records != 65 || !s.SealedThrough.Equal(start.Add(3*time.Hour)) || s.Findings != 0 {
				t.Errorf("stats %+v", s)
			}
			r := d.verify(seal.VerifyConfig{})
			gap := []string{"sequence_gap verdict-0, start 3, numbers 61 to 121"}
			want(t, r, gap...)
			if r.Records != 65 || r.Digests != 3 || !r.From.Equal(start) || !r.To.Equal(start.Add(3*time.Hour)) {
				t.Errorf("result %+v", r)
			}
			if again := d.seal(seal.Config{}); again.LastDigest != 3 || again.Sealed != 0 || again.Backfilled != 0 {
				t.Errorf("sealed again: %+v", again)
			}
		})
	}
}

func noSource() []store.Decision {
	a, b := record(5), record(6)
	for _, d := range []*store.Decision{&a, &b} {
		d.At = d.At.Add(time.Second)
		d.Instance, d.Epoch, d.Seq = "", 0, 0
	}
	return []store.Decision{finish(a, 5), finish(b, 6)}
}

func TestWhatWasDoneToRecordsIsNamedAndNothingElse(t *testing.T) {
	id := func(n int) string { return record(n).ID }
	for name, tc := range map[string]struct {
		do   []string
		want []string
	}{
		"one deleted and a byte of another changed": {
			do: []string{"DELETE FROM decisions WHERE id = '" + id(7) + "'",
				"UPDATE decisions SET principal_id = 'q' WHERE id = '" + id(70) + "'"},
			want: []string{"record_missing " + what(7), "record_edited " + what(70)},
		},
		"a deny made an allow": {
			do:   []string{"UPDATE decisions SET allowed = true WHERE id = '" + id(3) + "'"},
			want: []string{"record_edited " + what(3)},
		},
		"a time changed within its window": {
			do:   []string{"UPDATE decisions SET at = at + interval '90 s' WHERE id = '" + id(3) + "'"},
			want: []string{"record_edited " + what(3)},
		},
		"a time changed into another window": {
			do:   []string{"UPDATE decisions SET at = at + interval '61 minutes 1 s' WHERE id = '" + id(3) + "'"},
			want: []string{"record_edited " + what(3)},
		},
		"the leaf that was written with it": {
			do:   []string{"UPDATE decisions SET leaf = decode(repeat('00', 32), 'hex') WHERE id = '" + id(3) + "'"},
			want: []string{"record_edited " + what(3)},
		},
		"a number changed": {
			do:   []string{"UPDATE decisions SET seq = 9000 WHERE id = '" + id(3) + "'"},
			want: []string{"record_edited " + what(3)},
		},
		"a window emptied": {
			do: []string{"DELETE FROM decisions WHERE at >= '2026-03-02 12:00Z'"},
			want: []string{"record_missing " + what(120), "record_missing " + what(121), "record_missing " + what(122),
				"record_missing " + what(123), "record_missing " + what(124)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.keep(upTo(125)...)
			d.seal(seal.Config{})
			want(t, d.verify(seal.VerifyConfig{}))
			d.tamper(tc.do...)
			want(t, d.verify(seal.VerifyConfig{}), tc.want...)
		})
	}
}

func TestARecordPutInLater(t *testing.T) {
	d := newDesk(t)
	d.keep(upTo(100)...)
	d.seal(seal.Config{})
	forged := record(33)
	forged.At = forged.At.Add(5 * time.Second)
	forged.Instance, forged.Epoch, forged.Seq = "", 0, 0
	forged = finish(forged, 5000)
	must(t, d.st.AppendDecisions(t.Context(), []store.Decision{forged}))
	want(t, d.verify(seal.VerifyConfig{}), "record_extra "+forged.ID)
	soon := d.verify(seal.VerifyConfig{Now: d.Now})
	want(t, soon)
	if soon.Waiting != 1 {
		t.Errorf("%d wait for a backfill, want 1", soon.Waiting)
	}
	d.at(start.AddDate(0, 0, 4)) // the windows are no longer looked at
	d.seal(seal.Config{})
	want(t, d.verify(seal.VerifyConfig{}), "record_extra "+forged.ID)
}

func TestWhatComesLateBecomesABackfill(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *desk{"Postgres": newDesk, "SQLite": newLightDesk} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			d.keep(upTo(50)...)
			d.keep(70, 75)
			d.seal(seal.Config{})
			d.keep(50, 52, 51, 72) // of both windows, after they were sealed
			s := d.sealer(seal.Config{})
			must(t, s.Round(t.Context()))
			must(t, s.Round(t.Context()))
			if got := s.Stats(); got.Backfilled != 2 || got.Late != 4 || got.Findings != 0 {
				t.Errorf("stats %+v", got)
			}
			d.keep(53)
			must(t, s.Round(t.Context()))
			early := record(0)
			early.At, early.Seq, early.Instance = start.Add(-30*time.Minute), 1, "verdict-9"
			early = finish(early, 777)
			must(t, d.st.AppendDecisions(t.Context(), []store.Decision{early}))
			must(t, s.Round(t.Context()))
			must(t, s.Round(t.Context()))
			if got := s.Stats(); got.Backfilled != 4 || got.Late != 6 || got.Findings != 0 {
				t.Errorf("stats %+v", got)
			}
			r := d.verify(seal.VerifyConfig{})
			want(t, r, "sequence_gap verdict-0, start 3, numbers 55 to 70", "sequence_gap verdict-0, start 3, numbers 72",
				"sequence_gap verdict-0, start 3, numbers 74 to 75")
			if r.Late != 6 || r.Records != 58 {
				t.Errorf("result %+v", r)
			}
		})
	}
}

func TestGapsAreFoundInsideAndAcrossWindows(t *testing.T) {
	d := newLightDesk(t)
	var l []int
	for n := range 125 {
		if n != 30 && (n < 58 || n > 61) {
			l = append(l, n)
		}
	}
	d.keep(l...)
	d.seal(seal.Config{})
	gaps := []string{"sequence_gap verdict-0, start 3, numbers 31", "sequence_gap verdict-0, start 3, numbers 59 to 62"}
	want(t, d.verify(seal.VerifyConfig{}), gaps...)
	second := start.Add(time.Hour)
	want(t, d.verifyRange(second, time.Time{}, seal.VerifyConfig{}))
	want(t, d.verifyRange(start, second, seal.VerifyConfig{}), gaps[0])
}

func TestNumbersThatPassEachOtherAtTheEdgeAreNoGap(t *testing.T) {
	d := newLightDesk(t)
	for n := range 120 {
		r := record(n)
		switch n { // 59 was answered after 60 and 61
		case 59:
			r.At = record(61).At.Add(time.Second)
		case 60, 61:
			r.At = record(n - 1).At.Add(time.Millisecond)
		}
		must(t, d.st.AppendDecisions(t.Context(), []store.Decision{finish(r, n)}))
	}
	d.seal(seal.Config{})
	for _, from := range []time.Time{start, start.Add(time.Hour)} {
		want(t, d.verifyRange(from, from.Add(time.Hour), seal.VerifyConfig{}))
	}
}

func TestRunGoesOnUntilItIsStopped(t *testing.T) {
	d := newLightDesk(t)
	d.keep(upTo(10)...)
	s := d.sealer(seal.Config{Look: 5 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for deadline := time.Now().Add(10 * time.Second); s.Stats().LastDigest < 3; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("stats %+v", s.Stats())
		}
	}
	d.keep(11)
	for deadline := time.Now().Add(10 * time.Second); s.Stats().Late < 1; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("stats %+v", s.Stats())
		}
	}
	cancel()
	if err := <-ended; err != context.Canceled { //nolint:errorlint // Run returns it as it is
		t.Errorf("Run ended with %v", err)
	}
	if held, err := d.st.AcquireLease(t.Context(), "audit-seal", "next", time.Second); err != nil || !held {
		t.Errorf("the lease was not given back: %v", err)
	}
}

package seal_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/audit/seal"
	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

func folder(t *testing.T) *seal.Folder {
	t.Helper()
	f, err := seal.NewFolder(filepath.Join(t.TempDir(), "digests"))
	must(t, err)
	return f
}

func TestWhatWasDoneToDigestsIsNamed(t *testing.T) {
	for name, tc := range map[string]struct {
		do           []string
		want, copies []string // without and with the copies
	}{
		"one edited": {
			do:     []string{"UPDATE digests SET count = count + 1 WHERE number = 2"},
			want:   []string{"digest_edited digest 2"},
			copies: []string{"digest_edited digest 2"},
		},
		"its window edited": {
			do:     []string{"UPDATE digests SET to_at = to_at + interval '30 years' WHERE number = 1"},
			want:   []string{"digest_edited digest 1"},
			copies: []string{"digest_edited digest 1"},
		},
		"its list edited": {
			do:     []string{"UPDATE digests SET leaves = set_byte(leaves, 40, 255 - get_byte(leaves, 40)) WHERE number = 2"},
			want:   []string{"digest_edited digest 2"},
			copies: []string{"digest_edited digest 2"},
		},
		"its list taken": {
			do:     []string{"UPDATE digests SET leaves = '' WHERE number = 2"},
			want:   []string{"digest_edited digest 2"},
			copies: []string{"digest_edited digest 2"},
		},
		"edited together with a record of its window, and judged by its copy": {
			do: []string{"UPDATE digests SET revision_last = 9 WHERE number = 2",
				"UPDATE decisions SET allowed = NOT allowed WHERE id = '" + record(70).ID + "'"},
			want:   []string{"digest_edited digest 2"},
			copies: []string{"digest_edited digest 2", "record_edited " + what(70)},
		},
		"one deleted": {
			do:     []string{"DELETE FROM digests WHERE number = 2"},
			want:   []string{"digest_missing digest 2"},
			copies: []string{"digest_missing digest 2"},
		},
		"the first deleted": {
			do:     []string{"DELETE FROM digests WHERE number = 1"},
			want:   []string{"digest_missing digest 1"},
			copies: []string{"digest_missing digest 1"},
		},
		"the last deleted, which only a copy tells": {
			do:     []string{"DELETE FROM digests WHERE number = 3"},
			copies: []string{"copy_only digest 3"},
		},
		"all deleted": {
			do:     []string{"DELETE FROM digests"},
			want:   []string{"not_sealed "},
			copies: []string{"copy_only digest 1", "copy_only digest 2", "copy_only digest 3", "not_sealed "},
		},
		"nothing": {},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.keep(upTo(130)...)
			copies := folder(t)
			if s := d.seal(seal.Config{Sink: copies}); s.Copied != 3 {
				t.Fatalf("stats %+v", s)
			}
			d.tamper(tc.do...)
			want(t, d.verify(seal.VerifyConfig{}), tc.want...)
			want(t, d.verify(seal.VerifyConfig{Copies: copies}), tc.copies...)
		})
	}
}

// Who has the key and the database can make the chain anew; the copies tell.
func TestAChainMadeAnewDiffersFromItsCopies(t *testing.T) {
	d := newDesk(t)
	d.keep(upTo(130)...)
	copies := folder(t)
	d.seal(seal.Config{Sink: copies})
	d.tamper("DELETE FROM digests", "DELETE FROM decisions WHERE id = '"+record(70).ID+"'")
	if s := d.seal(seal.Config{}); s.LastDigest != 3 {
		t.Fatalf("stats %+v", s)
	}
	want(t, d.verify(seal.VerifyConfig{}), "sequence_gap verdict-0, start 3, numbers 71")
	r := d.verify(seal.VerifyConfig{Copies: copies})
	want(t, r, "copy_differs digest 2", "copy_differs digest 3")
	d.tamper("DELETE FROM cursors")
	if s := d.seal(seal.Config{Sink: copies}); s.Findings != 2 || s.Copied != 3 {
		t.Errorf("the sealer did not see it: %+v", s)
	}
}

func TestKeys(t *testing.T) {
	d := newLightDesk(t)
	d.keep(upTo(70)...)
	d.seal(seal.Config{})
	old := d.pub
	d.key = ed25519.NewKeyFromSeed(slices.Repeat([]byte{9}, ed25519.SeedSize))
	d.pub = d.key.Public().(ed25519.PublicKey)
	d.keep(200)
	d.at(start.Add(5 * time.Hour))
	d.seal(seal.Config{})
	want(t, d.verify(seal.VerifyConfig{}), "digest_edited digest 1 to 3")
	both, err := seal.Verify(t.Context(), d.st, []ed25519.PublicKey{old, d.pub}, time.Time{}, start.Add(2*time.Hour), seal.VerifyConfig{})
	must(t, err)
	want(t, both)
	if _, err := seal.Verify(t.Context(), d.st, nil, time.Time{}, time.Time{}, seal.VerifyConfig{}); err == nil {
		t.Error("verified without a key")
	}
	private, public, err := seal.EncodeKey(d.key)
	must(t, err)
	k, err := seal.ParsePrivateKey(private)
	must(t, err)
	p, err := seal.ParsePublicKey(public)
	must(t, err)
	if !k.Equal(d.key) || !p.Equal(d.pub) || len(seal.KeyID(p)) != 16 {
		t.Error("a key is not what was written")
	}
	for _, bad := range [][]byte{nil, public, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")} {
		if _, err := seal.ParsePrivateKey(bad); err == nil {
			t.Errorf("%q is taken for a key", bad)
		}
	}
}

func TestReplicasDoNotSealTwice(t *testing.T) {
	d := newDesk(t)
	d.keep(upTo(180)...)
	d.at(start.Add(15*time.Hour + 5*time.Minute))
	var all sync.WaitGroup
	sealers := make([]*seal.Sealer, 4)
	for i := range sealers {
		sealers[i] = d.sealer(seal.Config{Every: 15 * time.Minute, Look: time.Millisecond})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, s := range sealers {
		all.Go(func() { // each is stopped and goes on many times, so that the lease goes round
			for ctx.Err() == nil {
				part, stop := context.WithTimeout(ctx, 30*time.Millisecond)
				_ = s.Run(part)
				stop()
				if s.Stats().LastDigest >= 60 {
					return
				}
			}
		})
	}
	all.Wait()
	l, err := d.st.Digests(t.Context(), time.Time{}, time.Time{}, 0, 1000)
	must(t, err)
	if len(l) != 60 {
		t.Errorf("%d digests", len(l))
	}
	want(t, d.verify(seal.VerifyConfig{}))
	var sealed uint64
	for _, s := range sealers {
		sealed += s.Stats().Sealed
	}
	if sealed > 60 {
		t.Errorf("%d digests were made of 60 windows", sealed)
	}
}

// failing is a store whose digests are refused, or kept and then not confirmed.
type failing struct {
	store.Store
	appends int
	failAt  int
	keepIt  bool
}

var errCrash = errors.New("crash")

func (f *failing) AppendDigest(ctx context.Context, d store.Digest) error {
	f.appends++
	if f.appends == f.failAt {
		if f.keepIt {
			if err := f.Store.AppendDigest(ctx, d); err != nil {
				return err
			}
		}
		return errCrash
	}
	return f.Store.AppendDigest(ctx, d)
}

func TestACrashBetweenWindowsIsResumed(t *testing.T) {
	for name, kept := range map[string]bool{"before the digest is kept": false, "after it was kept": true} {
		t.Run(name, func(t *testing.T) {
			d := newLightDesk(t)
			d.keep(upTo(130)...)
			for at := 1; at <= 3; at++ {
				s, err := seal.New(&failing{Store: d.st, failAt: at, keepIt: kept}, d.key, slog.New(slog.DiscardHandler), seal.Config{Now: d.Now})
				must(t, err)
				if err := s.Round(t.Context()); err != nil && !errors.Is(err, errCrash) {
					t.Fatal(err)
				}
			}
			d.seal(seal.Config{})
			r := d.verify(seal.VerifyConfig{})
			want(t, r)
			if r.Digests != 3 || r.Records != 130 {
				t.Errorf("result %+v", r)
			}
		})
	}
}

func TestAWindowOfTooManyRecordsIsSealedInParts(t *testing.T) {
	d := newLightDesk(t)
	d.keep(upTo(170)...)
	s := d.seal(seal.Config{Most: 10})
	if s.LastDigest < 17 || s.Records != 170 {
		t.Errorf("stats %+v", s)
	}
	r := d.verify(seal.VerifyConfig{})
	want(t, r)
	if r.Records != 170 || r.Digests != s.LastDigest || !r.To.Equal(start.Add(3*time.Hour)) {
		t.Errorf("result %+v", r)
	}
	l, err := d.st.Digests(t.Context(), time.Time{}, time.Time{}, 0, 1000)
	must(t, err)
	for _, one := range l {
		if one.Count > 10 {
			t.Errorf("digest %d has %d records", one.Number, one.Count)
		}
	}
}

func TestDaysThatAreNotKeptAnyMoreAreNotMissing(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *desk{"Postgres": newDesk, "SQLite": newLightDesk} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			next := store.Day(start).AddDate(0, 0, 1)
			d.keep(upTo(120)...)
			d.keep(14*60, 14*60+1) // the next day
			d.at(next.Add(3 * time.Hour))
			d.seal(seal.Config{})
			gap := "sequence_gap verdict-0, start 3, numbers 121 to 840"
			want(t, d.verify(seal.VerifyConfig{}), gap)
			name := "decisions_" + start.Format("20060102")
			check := func(records uint64, findings ...string) {
				t.Helper()
				r := d.verify(seal.VerifyConfig{})
				want(t, r, append(findings, gap)...)
				if r.NotKept != 120 || r.Records != records || len(r.Days) != 1 || !r.Days[0].Equal(store.Day(start)) {
					t.Errorf("result %+v", r)
				}
			}
			must(t, d.st.DetachPartition(t.Context(), name))
			check(2)
			kept := d.verify(seal.VerifyConfig{KeptSince: start})
			want(t, kept, gap, "day_gone "+start.Format(time.DateOnly))
			late := record(500) // of the day that was taken away: it gets a partition of its own
			late.Instance, late.Seq = "verdict-1", 1
			late = finish(late, 500)
			must(t, d.st.AppendDecisions(t.Context(), []store.Decision{late}))
			check(2, fmt.Sprintf("record_extra %s (verdict-1, start 3, number 1)", late.ID))
			must(t, d.st.DropPartition(t.Context(), name))
			check(2, fmt.Sprintf("record_extra %s (verdict-1, start 3, number 1)", late.ID))
		})
	}
}

func TestWhatComesLateForADayThatIsGoneDoesNotMakeTheRestMissing(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *desk{"Postgres": newDesk, "SQLite": newLightDesk} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			d.keep(upTo(120)...)
			d.at(start.Add(3 * time.Hour))
			d.seal(seal.Config{})
			name := "decisions_" + start.Format("20060102")
			must(t, d.st.DetachPartition(t.Context(), name))
			must(t, d.st.DropPartition(t.Context(), name))
			late := record(30) // its replica was away for as long as records are kept
			late.Instance, late.Seq = "verdict-1", 1
			late = finish(late, 500)
			must(t, d.st.AppendDecisions(t.Context(), []store.Decision{late}))
			r := d.verify(seal.VerifyConfig{})
			want(t, r, fmt.Sprintf("record_extra %s (verdict-1, start 3, number 1)", late.ID))
			if r.NotKept != 120 || len(r.Days) != 1 {
				t.Errorf("result %+v", r)
			}
		})
	}
}

func TestChangesOfAdministratorsAreProvenToo(t *testing.T) {
	d := newDesk(t)
	commit := func(c store.Change) {
		_, err := d.st.Commit(t.Context(), c)
		must(t, err)
	}
	for n := range 3 {
		commit(store.Change{Actor: "ann", PutAPIs: []store.Put[store.API]{{Fact: store.API{ID: fmt.Sprint("a", n)}}, {Fact: store.API{ID: fmt.Sprint("b", n)}}}})
	}
	_, err := d.st.CreateRevocation(t.Context(), store.Revocation{ID: record(1).ID, TenantID: "t", Kind: store.RevokeClient, Value: "c",
		NotBefore: time.Now(), ExpiresAt: time.Now().Add(time.Hour), Actor: "ann"})
	must(t, err)
	_, err = d.st.DeleteRevocation(t.Context(), record(1).ID, store.Note{Actor: "bob"})
	must(t, err)
	for range 2 {
		_, err = d.st.OrderPurge(t.Context(), "t", store.Note{Actor: "ann"})
		must(t, err)
	}
	d.at(time.Now().Add(25 * time.Hour))
	if s := d.seal(seal.Config{Every: 24 * time.Hour}); s.LastDigest == 0 || s.Records != 0 {
		t.Fatalf("stats %+v", s)
	}
	later := seal.VerifyConfig{Now: func() time.Time { return time.Now().AddDate(0, 0, 9) }}
	r := d.verify(later)
	want(t, r)
	if r.Changes != 7 {
		t.Errorf("%d changes, want 7", r.Changes)
	}
	d.tamper(
		"UPDATE changes SET after = jsonb_set(after, '{display_name}', '\"x\"') WHERE revision = 2 AND key = 'b1'",
		"UPDATE revisions SET actor = 'eve' WHERE number = 3",
		"UPDATE revocation_changes SET expires_at = expires_at + interval '1 h' WHERE action = 'put'",
		"DELETE FROM trust_changes WHERE version = 1",
		"INSERT INTO trust_changes SELECT 77, at, action, provider, tenant_id, display_name, kid, actor, reason, ticket FROM trust_changes WHERE version = 2",
	)
	want(t, d.verify(later), "change_edited policy change 2", "change_edited policy change 3", "change_edited revocation change 1",
		"change_missing trust change 1", "change_extra trust change 77")
}

func TestTheSealerSeesWhatIsGoneFromRecentWindows(t *testing.T) {
	d := newDesk(t)
	d.keep(upTo(50)...)
	edited := record(50)
	edited.PrincipalID = "someone else" // after its leaf was made
	must(t, d.st.AppendDecisions(t.Context(), []store.Decision{edited}))
	s := d.sealer(seal.Config{})
	must(t, s.Round(t.Context()))
	if got := s.Stats().Findings; got != 1 {
		t.Errorf("%d findings, want the record that was changed before it was sealed", got)
	}
	d.tamper("DELETE FROM decisions WHERE id = '" + record(7).ID + "'")
	for range 3 { // it is told once
		must(t, s.Round(t.Context()))
		if got := s.Stats(); got.Findings != 2 || got.Backfilled != 0 {
			t.Errorf("stats %+v", got)
		}
	}
	want(t, d.verify(seal.VerifyConfig{}), "record_missing "+what(7), "record_edited "+what(50))
}

func TestAFolderKeepsWhatItHas(t *testing.T) {
	f := folder(t)
	ctx := t.Context()
	must(t, f.Put(ctx, "digest-00000001.json", []byte("one")))
	must(t, f.Put(ctx, "digest-00000001.json", []byte("one")))
	if err := f.Put(ctx, "digest-00000001.json", []byte("two")); !errors.Is(err, seal.ErrContradicts) {
		t.Errorf("other content: %v", err)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if err := f.Put(ctx, "digest-00000002.json", fmt.Append(nil, i)); err != nil && !errors.Is(err, seal.ErrContradicts) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	dir, _ := filepath.Abs(f.Name()[len("file:"):])
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 2 {
		t.Errorf("%v are left", entries)
	}
	if n, err := f.Numbers(ctx); err != nil || !slices.Equal(n, []uint64{1, 2}) {
		t.Errorf("numbers %v, %v", n, err)
	}
	if _, err := f.Copy(ctx, 1); !errors.Is(err, seal.ErrContradicts) {
		t.Errorf("what is no digest: %v", err)
	}
	if _, err := f.Copy(ctx, 3); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("what is not there: %v", err)
	}
}

// Sealing and verifying take the rights of who administers, not those of the owner.
func TestTheAdministratorsRoleSealsAndVerifies(t *testing.T) {
	d := newDesk(t)
	d.keep(upTo(20)...)
	admin, err := postgres.Open(t.Context(), postgres.Config{URL: d.url + "&role=verdict_admin"}, slog.New(slog.DiscardHandler))
	must(t, err)
	d.st = admin
	t.Cleanup(admin.Close)
	if s := d.seal(seal.Config{Sink: folder(t)}); s.Records != 20 || s.Copied == 0 {
		t.Errorf("stats %+v", s)
	}
	want(t, d.verify(seal.VerifyConfig{}))
	owner, err := postgres.Open(t.Context(), postgres.Config{URL: d.url}, slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(owner.Close)
	must(t, owner.DetachPartition(t.Context(), "decisions_"+start.Format("20060102")))
	if r := d.verify(seal.VerifyConfig{}); r.NotKept != 20 {
		t.Errorf("result %+v", r)
	}
}

// BenchmarkSealAndVerify tells how many records a second are sealed, and verified.
func BenchmarkSealAndVerify(b *testing.B) {
	const n = 100_000
	ctx := b.Context()
	url := pgtest.New(b)
	st, err := postgres.Open(ctx, postgres.Config{URL: url}, slog.New(slog.DiscardHandler))
	must(b, err)
	defer st.Close()
	for at := 0; at < n; at += 5000 {
		var batch []store.Decision
		for i := at; i < at+5000; i++ {
			r := record(0)
			r.At, r.Seq = start.Add(time.Duration(i)*30*time.Millisecond), uint64(i)+1
			batch = append(batch, finish(r, i))
		}
		must(b, st.AppendDecisions(ctx, batch))
	}
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	now := func() time.Time { return start.Add(65 * time.Minute) }
	for b.Loop() {
		s, err := seal.New(st, key, slog.New(slog.DiscardHandler), seal.Config{Now: now})
		must(b, err)
		began := time.Now()
		must(b, s.Round(ctx))
		if s.Stats().Records > 0 {
			b.ReportMetric(float64(s.Stats().Records)/time.Since(began).Seconds(), "sealed/s")
		}
		began = time.Now()
		r, err := seal.Verify(ctx, st, []ed25519.PublicKey{key.Public().(ed25519.PublicKey)}, time.Time{}, time.Time{}, seal.VerifyConfig{})
		must(b, err)
		if r.Records == 0 || !r.OK() {
			b.Fatalf("%+v", r)
		}
		b.ReportMetric(float64(r.Records)/time.Since(began).Seconds(), "verified/s")
	}
}

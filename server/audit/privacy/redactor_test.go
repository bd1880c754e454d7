package privacy

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/migrations"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/sqlite"
)

const (
	tid   = "11111111-1111-4111-8111-111111111111"
	other = "22222222-2222-4222-8222-222222222222"
	alice = "bbbbbbbb-0001-4000-8000-000000000001"
	bob   = "bbbbbbbb-0002-4000-8000-000000000002"
	group = "group:" + tid + "/aaaaaaaa-0001-4000-8000-000000000001"
)

var november = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// kept copies the last record, as recorders do.
type kept struct {
	last store.Decision
	want policy.Keeping
	err  error
}

func (k *kept) Record(d store.Decision, want policy.Keeping) error {
	d.Subjects, d.GrantSubjects = slices.Clone(d.Subjects), slices.Clone(d.GrantSubjects)
	k.last, k.want = d, want
	return k.err
}

// record is the decision about a user, who has a grant of its own and one by way of a group.
func record() store.Decision {
	return store.Decision{
		ID: "0190163d-8694-739b-aea5-966c26f8ad91", At: november, Allowed: true, PrincipalKind: int16(policy.PrincipalUser),
		TenantID: tid, PrincipalID: alice, ClientID: "33333333-3333-4333-8333-333333333333", TokenID: "uti-1", SourceIP: "192.0.2.77",
		Subjects: []string{group, "tenant:" + tid, "user:" + tid + "/" + alice}, GrantSubjects: []string{group, "user:" + tid + "/" + alice},
		Grants: []string{"g-1"}, Scopes: []string{"All"}, AgentParent: "cccccccc-0001-4000-8000-000000000001",
	}
}

func redactor(t testing.TB, next Recorder, cfg Config) *Redactor {
	t.Helper()
	r, err := New(next, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func redacted(t testing.TB, cfg Config, d store.Decision) store.Decision {
	t.Helper()
	next := new(kept)
	if err := redactor(t, next, cfg).Record(d, policy.Keeping{}); err != nil {
		t.Fatal(err)
	}
	return next.last
}

func TestWhatARecordNeedNotTell(t *testing.T) {
	// Made by another implementation of HKDF and HMAC, for the key 00 01 02 … 1f. Records of years depend on it.
	const pseudonym = "p.6gdz5gjdyqoxwti547epi2qlhq"
	user := "user:" + tid + "/" + pseudonym
	key := keyOf(t, sequence())
	for name, tc := range map[string]struct {
		cfg    Config
		given  func(d *store.Decision)
		expect func(d *store.Decision)
	}{
		"without a key, the address alone is cut": {
			expect: func(d *store.Decision) { d.SourceIP = "192.0.2.0/24" },
		},
		"the address is kept when the operator wants it": {
			cfg: Config{Addresses: Full}, expect: func(*store.Decision) {},
		},
		"or dropped": {
			cfg: Config{Addresses: None}, expect: func(d *store.Decision) { d.SourceIP = "" },
		},
		"with a key, a user has a pseudonym wherever it stands": {
			cfg: Config{Key: key, Addresses: Full},
			expect: func(d *store.Decision) {
				d.PrincipalID, d.TokenID = pseudonym, ""
				d.Subjects, d.GrantSubjects = []string{group, "tenant:" + tid, user}, []string{group, user}
			},
		},
		"an application keeps its ids": {
			cfg: Config{Key: key, Addresses: Full},
			given: func(d *store.Decision) {
				d.PrincipalKind, d.Subjects, d.GrantSubjects = int16(policy.PrincipalApp), []string{group}, nil
			},
			expect: func(d *store.Decision) {
				d.PrincipalKind, d.Subjects, d.GrantSubjects = int16(policy.PrincipalApp), []string{group}, nil
			},
		},
		"a user that a grant names and who is not the caller has a pseudonym too": {
			cfg: Config{Key: key, Addresses: Full},
			given: func(d *store.Decision) {
				d.PrincipalKind, d.PrincipalID, d.Subjects = int16(policy.PrincipalApp), bob, nil
			},
			expect: func(d *store.Decision) {
				d.PrincipalKind, d.PrincipalID, d.Subjects, d.GrantSubjects = int16(policy.PrincipalApp), bob, nil, []string{group, user}
			},
		},
		"nobody proven has none": {
			cfg:    Config{Key: key, Addresses: Full},
			given:  func(d *store.Decision) { *d = store.Decision{ID: d.ID, At: d.At, API: "orders"} },
			expect: func(d *store.Decision) { *d = store.Decision{ID: d.ID, At: d.At, API: "orders"} },
		},
		"the month is that of the record, UTC": {
			cfg: Config{Key: key, Addresses: Full},
			given: func(d *store.Decision) {
				d.At, d.Subjects, d.GrantSubjects = time.Date(2026, 11, 30, 23, 30, 0, 0, time.FixedZone("", -3600)), nil, nil
			},
			expect: func(d *store.Decision) {
				d.At, d.PrincipalID, d.TokenID, d.Subjects, d.GrantSubjects = time.Date(2026, 11, 30, 23, 30, 0, 0, time.FixedZone("", -3600)), "p.anj22hiymvimkwpcerodcik47m", "", nil, nil
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, want := record(), record()
			if tc.given != nil {
				tc.given(&d)
			}
			tc.expect(&want)
			if got := redacted(t, tc.cfg, d); !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestSubjectsStaySorted(t *testing.T) {
	d := record()
	d.Subjects = nil
	for i := range 50 {
		d.Subjects = append(d.Subjects, fmt.Sprintf("user:%s/bbbbbbbb-0000-4000-8000-%012x", tid, i))
	}
	got := redacted(t, Config{Key: keyOf(t, sequence())}, d).Subjects
	if len(got) != 50 || !slices.IsSorted(got) || len(slices.Compact(got)) != 50 {
		t.Errorf("%d subjects: %q", len(got), got)
	}
}

func TestWhatTheCallerHoldsIsNotWrittenTo(t *testing.T) {
	d := record()
	subjects, grantSubjects := slices.Clone(d.Subjects), slices.Clone(d.GrantSubjects)
	redacted(t, Config{Key: keyOf(t, sequence())}, d)
	if !slices.Equal(d.Subjects, subjects) || !slices.Equal(d.GrantSubjects, grantSubjects) {
		t.Errorf("now %q, %q", d.Subjects, d.GrantSubjects)
	}
}

func TestWhatTheAPIAsksAndWhatTheRecorderSaysPassThrough(t *testing.T) {
	next := &kept{err: errors.New("full")}
	for _, cfg := range []Config{{}, {Key: keyOf(t, sequence())}} {
		want := policy.Keeping{Durability: policy.DurabilityStrict, OnFailure: policy.OnAuditFailureCount}
		if err := redactor(t, next, cfg).Record(record(), want); !errors.Is(err, next.err) || next.want != want {
			t.Errorf("%v, %+v", err, next.want)
		}
	}
}

func TestPseudonymsLinkNothingButAMonthOfAUser(t *testing.T) {
	key, second := sequence(), sequence()
	second[31]++
	seen := map[string]string{}
	for _, k := range [][]byte{key, second} {
		r := redactor(t, new(kept), Config{Key: keyOf(t, k)})
		for _, who := range [][2]string{{tid, alice}, {tid, bob}, {other, alice}, {"ab", "c"}, {"a", "bc"}, {"", "abc"}} {
			for _, at := range []time.Time{november, november.AddDate(0, 1, 0), november.AddDate(1, 0, 0)} {
				name := fmt.Sprint(k[31], who, at)
				list := r.Pseudonyms(who[0], who[1], at, at)
				if len(list) != 1 || !regexp.MustCompile(`^p\.[a-z2-7]{26}$`).MatchString(list[0].Pseudonym) {
					t.Fatalf("%s: %+v", name, list)
				}
				if again := r.Pseudonyms(who[0], who[1], at, at); again[0] != list[0] {
					t.Errorf("%s: %v, then %v", name, list[0], again[0])
				}
				if first, taken := seen[list[0].Pseudonym]; taken {
					t.Errorf("%s and %s share %s", first, name, list[0].Pseudonym)
				}
				seen[list[0].Pseudonym] = name
			}
		}
	}
}

func TestPseudonymsAreListedByMonth(t *testing.T) {
	r := redactor(t, new(kept), Config{Key: keyOf(t, sequence())})
	months := func(from, to time.Time) []string {
		var all []string
		for _, m := range r.Pseudonyms(tid, alice, from, to) {
			all = append(all, m.Month)
		}
		return all
	}
	if got, want := months(november, november.AddDate(0, 2, 0)), []string{"2026-11", "2026-12", "2027-01"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := months(november, november.AddDate(0, 0, -21)); got != nil {
		t.Errorf("from before to: %q", got)
	}
	if got := months(time.Time{}, november); len(got) != MaxMonths || got[0] != "2016-12" || got[MaxMonths-1] != "2026-11" {
		t.Errorf("ten years are %d months, from %s to %s", len(got), got[0], got[len(got)-1])
	}
	if got := redactor(t, new(kept), Config{}).Pseudonyms(tid, alice, november, november); got != nil {
		t.Errorf("without a key: %v", got)
	}
}

// appender writes each record to a store.
type appender struct {
	t  *testing.T
	to store.DecisionAppender
}

func (a appender) Record(d store.Decision, _ policy.Keeping) error {
	return a.to.AppendDecisions(a.t.Context(), []store.Decision{d})
}

func TestRecordsAreFoundByThePseudonymsOfTheirUser(t *testing.T) {
	path := filepath.Join(t.TempDir(), "verdict.db")
	if _, err := migrations.Up(t.Context(), migrations.Target{SQLitePath: path}); err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	r := redactor(t, appender{t, s}, Config{Key: keyOf(t, sequence())})
	for i := range 4 {
		for n, who := range []string{alice, bob} {
			d := record()
			d.ID = fmt.Sprintf("0190163d-8694-739b-aea5-%06d%06d", i, n)
			d.At, d.PrincipalID = november.AddDate(0, i, 0), who
			d.Subjects, d.GrantSubjects = []string{"user:" + tid + "/" + who}, []string{"user:" + tid + "/" + who}
			if err := r.Record(d, policy.Keeping{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	found := func(f store.DecisionFilter) int {
		t.Helper()
		l, err := s.ListDecisions(t.Context(), f, store.DecisionCursor{}, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range l {
			if all := fmt.Sprintf("%+v", d); strings.Contains(all, alice) || strings.Contains(all, bob) || strings.Contains(all, "uti-1") || strings.Contains(all, "192.0.2.77") {
				t.Errorf("a record tells too much: %s", all)
			}
		}
		return len(l)
	}
	if n := found(store.DecisionFilter{}); n != 8 {
		t.Errorf("%d records", n)
	}
	if n := found(store.DecisionFilter{PrincipalID: alice}); n != 0 {
		t.Errorf("%d records by object id", n)
	}
	for _, m := range r.Pseudonyms(tid, alice, november, november.AddDate(0, 3, 0)) {
		if n := found(store.DecisionFilter{PrincipalID: m.Pseudonym}); n != 1 {
			t.Errorf("%d records of %s", n, m.Month)
		}
		if n := found(store.DecisionFilter{Subject: "user:" + tid + "/" + m.Pseudonym}); n != 1 {
			t.Errorf("%d records by grants to the user in %s", n, m.Month)
		}
	}
}

func TestKeysAreKeptWithinBounds(t *testing.T) {
	r := redactor(t, new(kept), Config{Key: keyOf(t, sequence())})
	first := r.names.key(period{tid, monthOf(november)})
	if again := r.names.key(period{tid, monthOf(november)}); again != first {
		t.Error("a key is derived twice")
	}
	for i := range 3 * maxPeriods {
		r.names.key(period{fmt.Sprint("tenant-", i), monthOf(november)})
		if n := len(*r.names.known.Load()); n > maxPeriods {
			t.Fatalf("%d keys are kept", n)
		}
	}
	if got, want := string(r.names.key(period{tid, monthOf(november)}).append(nil, tid, alice)), string(first.append(nil, tid, alice)); got != want {
		t.Errorf("derived again it says %s, not %s", got, want)
	}
}

func TestManyAtOnceGetTheSame(t *testing.T) {
	key := keyOf(t, sequence())
	want := redacted(t, Config{Key: key}, record())
	r := redactor(t, checker{t, want}, Config{Key: key})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 200 {
				if err := r.Record(record(), policy.Keeping{}); err != nil {
					t.Error(err)
				}
				r.names.key(period{fmt.Sprint("tenant-", i), monthOf(november)})
			}
		})
	}
	all.Wait()
}

type checker struct {
	t    *testing.T
	want store.Decision
}

func (c checker) Record(d store.Decision, _ policy.Keeping) error {
	if !reflect.DeepEqual(d, c.want) {
		c.t.Errorf("got %+v", d)
	}
	return nil
}

func TestNewRefusesWhatItCannotWorkWith(t *testing.T) {
	_, err := New(nil, Config{Addresses: None + 1})
	if err == nil || !strings.Contains(err.Error(), "a recorder is required") || !strings.Contains(err.Error(), "neither network, full nor none") {
		t.Errorf("error %v", err)
	}
}

// discard keeps nothing.
type discard struct{}

func (discard) Record(store.Decision, policy.Keeping) error { return nil }

// The text of the network, and the subject that the pseudonym is a part of.
func TestARecordCostsTwoTexts(t *testing.T) {
	r, d := redactor(t, discard{}, Config{Key: keyOf(t, sequence())}), record()
	least := testing.AllocsPerRun(1, func() { _ = r.Record(d, policy.Keeping{}) })
	for range 100 { // a pool may be emptied at any time, and with the race detector often is
		least = min(least, testing.AllocsPerRun(1, func() { _ = r.Record(d, policy.Keeping{}) }))
	}
	if least > 2 {
		t.Errorf("%v allocations", least)
	}
}

func BenchmarkRecord(b *testing.B) {
	for name, cfg := range map[string]Config{"addresses": {}, "pseudonyms": {Key: keyOf(b, sequence())}} {
		b.Run(name, func(b *testing.B) {
			r, d := redactor(b, discard{}, cfg), record()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_ = r.Record(d, policy.Keeping{})
				}
			})
		})
	}
}

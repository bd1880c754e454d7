package store

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Batch is decision records made ready for an engine: canonical, and what is kept beside them.
type Batch struct {
	Records  []Decision
	Days     []time.Time // of the records, sorted, without repeats
	Unplaced int         // records without an instance
	Spans    []Span      // of those with one, sorted
	Uses     []Use       // sorted
}

// Span is which numbers of a source a batch has in a day.
type Span struct {
	Instance    string
	Epoch       uint64 // of the instance, or the lane
	Day         time.Time
	First, Last uint64
}

// Use is the first and last time in a day that a grant decided for a principal.
type Use struct {
	UseKey
	First, Last time.Time
}

// UseKey is who used which grant on which day.
type UseKey struct {
	Day                      time.Time
	Grant, Tenant, Principal string
}

// spanKey is a span without its numbers.
type spanKey struct {
	instance string
	epoch    uint64
	day      time.Time
}

// NewBatch makes ds ready. ErrInvalid when one of them cannot be kept.
func NewBatch(ds []Decision) (Batch, error) {
	b := Batch{Records: make([]Decision, len(ds))}
	spans, uses := make(map[spanKey]Span), make(map[UseKey]Use)
	days := make(map[time.Time]struct{})
	for i := range ds {
		d, err := ds[i].Canonical()
		if err != nil {
			return Batch{}, err
		}
		b.Records[i] = d
		day := Day(d.At)
		days[day] = struct{}{}
		if d.Instance == "" {
			b.Unplaced++
		} else {
			addSpan(spans, d.Instance, d.Epoch, day, d.Seq)
		}
		for _, g := range d.Grants {
			k := UseKey{Day: day, Grant: g, Tenant: d.TenantID, Principal: d.PrincipalID}
			u, again := uses[k]
			if !again {
				u = Use{k, d.At, d.At}
			}
			u.First, u.Last = earlier(u.First, d.At), later(u.Last, d.At)
			uses[k] = u
		}
	}
	for day := range days {
		b.Days = append(b.Days, day)
	}
	slices.SortFunc(b.Days, time.Time.Compare)
	b.Spans = sortedSpans(spans)
	for _, u := range uses {
		b.Uses = append(b.Uses, u)
	}
	// One order for all writers: none waits for another that waits for it.
	slices.SortFunc(b.Uses, func(x, y Use) int {
		return cmp.Or(x.Day.Compare(y.Day), strings.Compare(x.Grant, y.Grant), strings.Compare(x.Tenant, y.Tenant),
			strings.Compare(x.Principal, y.Principal))
	})
	return b, nil
}

// Place gives the records without an instance the numbers after `last` in a lane, and returns all spans. Epoch and Seq of such
// a record are its lane and number as long as it is in a store, and nothing outside.
func (b *Batch) Place(lane, last uint64) []Span {
	spans := make(map[spanKey]Span)
	for i := range b.Records {
		d := &b.Records[i]
		if d.Instance == "" {
			last++
			d.Epoch, d.Seq = lane, last
			addSpan(spans, "", lane, Day(d.At), last)
		}
	}
	return append(sortedSpans(spans), b.Spans...)
}

func addSpan(spans map[spanKey]Span, instance string, epoch uint64, day time.Time, seq uint64) {
	k := spanKey{instance, epoch, day}
	s, again := spans[k]
	if !again {
		s = Span{instance, epoch, day, seq, seq}
	}
	s.First, s.Last = min(s.First, seq), max(s.Last, seq)
	spans[k] = s
}

func sortedSpans(spans map[spanKey]Span) []Span {
	var l []Span
	for _, s := range spans {
		l = append(l, s)
	}
	slices.SortFunc(l, func(x, y Span) int {
		return cmp.Or(strings.Compare(x.Instance, y.Instance), cmp.Compare(x.Epoch, y.Epoch), x.Day.Compare(y.Day))
	})
	return l
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// maxNoted bounds UseMemo: about 20 MB.
const maxNoted = 100_000

// UseMemo knows which uses a process has written lately, so that most appends write none. The zero value is ready.
type UseMemo struct {
	mu    sync.Mutex
	noted map[UseKey]Use
}

// News returns those of uses that would change by more than GrantUseStep what is written.
func (m *UseMemo) News(uses []Use) []Use {
	m.mu.Lock()
	defer m.mu.Unlock()
	var news []Use
	for _, u := range uses {
		if n, ok := m.noted[u.UseKey]; !ok || u.First.Before(n.First) || !u.Last.Before(n.Last.Add(GrantUseStep)) {
			news = append(news, u)
		}
	}
	return news
}

// Wrote notes that uses are written.
func (m *UseMemo) Wrote(uses []Use) {
	if len(uses) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.noted == nil || len(m.noted)+len(uses) > maxNoted {
		m.noted = make(map[UseKey]Use) // what is forgotten is written once more
	}
	for _, u := range uses {
		if n, ok := m.noted[u.UseKey]; ok {
			u.First, u.Last = earlier(u.First, n.First), later(u.Last, n.Last)
		}
		m.noted[u.UseKey] = u
	}
}

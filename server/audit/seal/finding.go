package seal

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// Kind is what is wrong; the text is part of what verify prints.
type Kind string

// The kinds of findings.
const (
	RecordEdited  Kind = "record_edited"
	RecordMissing Kind = "record_missing"
	RecordExtra   Kind = "record_extra" // it is in a sealed window and in no digest
	SequenceGap   Kind = "sequence_gap" // numbers of an instance that neither the store nor a digest knows
	ChangeEdited  Kind = "change_edited"
	ChangeMissing Kind = "change_missing"
	ChangeExtra   Kind = "change_extra"
	DigestEdited  Kind = "digest_edited"
	DigestMissing Kind = "digest_missing"
	CopyDiffers   Kind = "copy_differs" // a copy of a digest says something else than the store
	CopyOnly      Kind = "copy_only"    // a copy of a digest that the store lacks
	DayGone       Kind = "day_gone"     // a day that should be kept is not there
	NotSealed     Kind = "not_sealed"   // nothing that was asked for is sealed
)

// Finding is one thing that is wrong.
type Finding struct {
	Kind     Kind        `json:"kind"`
	ID       string      `json:"id,omitempty"`       // of a record
	At       time.Time   `json:"at,omitzero"`        // of the record or change; else the begin of the time in question
	Instance string      `json:"instance,omitempty"` // of a record or a gap
	Epoch    uint64      `json:"epoch,omitempty"`
	First    uint64      `json:"first,omitempty"` // number of the record; first and last of a gap, or of digests
	Last     uint64      `json:"last,omitempty"`
	Trail    store.Trail `json:"trail,omitempty"` // of a change
	Number   uint64      `json:"number,omitempty"`
	Digest   uint64      `json:"digest,omitempty"` // that it is in
	Detail   string      `json:"detail,omitempty"`
}

// What names what is wrong, for people.
func (f *Finding) What() string {
	switch f.Kind {
	case RecordEdited, RecordMissing, RecordExtra:
		if f.Instance == "" {
			return f.ID
		}
		return fmt.Sprintf("%s (%s, start %d, number %d)", f.ID, f.Instance, f.Epoch, f.First)
	case SequenceGap:
		return fmt.Sprintf("%s, start %d, numbers %s", f.Instance, f.Epoch, span(f.First, f.Last))
	case ChangeEdited, ChangeMissing, ChangeExtra:
		return fmt.Sprintf("%s change %d", f.Trail, f.Number)
	case DigestEdited, DigestMissing, CopyDiffers, CopyOnly:
		if f.First != 0 {
			return "digest " + span(f.First, f.Last)
		}
		return "the time from " + f.At.Format(time.RFC3339)
	case DayGone:
		return f.At.Format(time.DateOnly)
	}
	if f.At.IsZero() { // all of it was asked for
		return ""
	}
	return f.At.Format(time.RFC3339)
}

func span(first, last uint64) string {
	if last <= first {
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%d to %d", first, last)
}

// Result is what Verify saw.
type Result struct {
	From, To      time.Time // whole windows that were looked at
	SealedThrough time.Time // what is younger is not proven yet
	Records       uint64    // that are as they were sealed
	Changes       uint64    // of administrators, as well
	Digests       uint64    // of the chain that were checked
	Copies        uint64    // that are as the store's
	Late          uint64    // records that came after their window was sealed, and are in a backfill digest
	Waiting       uint64    // records and changes that came so lately that they need not be in a backfill digest yet
	NotKept       uint64    // sealed records of days that are not kept any more
	Days          []time.Time
	Findings      []Finding // by kind and time, at most as many as were asked for
	Found         uint64    // how many there were
}

// OK says that nothing is wrong.
func (r *Result) OK() bool { return r.Found == 0 }

// sort puts findings in an order that does not depend on how they were found.
func (r *Result) sort() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), a.At.Compare(b.At), cmp.Compare(a.ID, b.ID), cmp.Compare(a.First, b.First))
	})
}

// relocate makes one finding of two: a record that is missing where it was sealed and extra elsewhere had its time changed.
func (r *Result) relocate() {
	extra := make(map[string]int)
	for i, f := range r.Findings {
		if f.Kind == RecordExtra {
			extra[f.ID] = i
		}
	}
	drop := make(map[int]bool)
	for i := range r.Findings {
		f := &r.Findings[i]
		if e, there := extra[f.ID]; there && f.Kind == RecordMissing && !drop[e] {
			f.Kind, f.Detail = RecordEdited, "its time was changed to "+r.Findings[e].At.Format(time.RFC3339Nano)
			drop[e] = true
		}
	}
	kept := r.Findings[:0]
	for i, f := range r.Findings {
		if !drop[i] {
			kept = append(kept, f)
		}
	}
	r.Findings = kept
	r.Found -= uint64(len(drop))
}

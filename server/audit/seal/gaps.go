package seal

import (
	"cmp"
	"slices"
)

// run is numbers from first to last.
type run struct{ first, last uint64 }

// numbers are those that were seen of one source: disjoint runs, ascending, which do not touch. Records come about in the
// order of their numbers, so there are few.
type numbers struct {
	runs      []run
	low, high uint64 // of those that count: gaps elsewhere are not told
}

// gaps finds the numbers that are nowhere.
type gaps map[source]*numbers

// add notes numbers; those beside the range that is verified do not count, and only keep its edges from looking like gaps.
func (g gaps) add(s source, r run, counts bool) {
	if s.instance == "" || r.first == 0 || r.last < r.first {
		return
	}
	n := g[s]
	if n == nil {
		n = &numbers{}
		g[s] = n
	}
	n.add(r)
	if counts {
		if n.low == 0 || r.first < n.low {
			n.low = r.first
		}
		n.high = max(n.high, r.last)
	}
}

func (n *numbers) add(r run) {
	// The first run that ends where r begins or later, and how many from there on r touches.
	i, _ := slices.BinarySearchFunc(n.runs, r.first, func(o run, first uint64) int { return cmp.Compare(o.last, first-1) })
	j := i
	for j < len(n.runs) && n.runs[j].first <= r.last+1 {
		r.first, r.last = min(r.first, n.runs[j].first), max(r.last, n.runs[j].last)
		j++
	}
	n.runs = slices.Replace(n.runs, i, j, r)
}

// missing are the gaps, by instance, epoch and number.
func (g gaps) missing() (found []Finding) {
	for s, n := range g {
		for i := 1; i < len(n.runs); i++ {
			first, last := max(n.runs[i-1].last+1, n.low), min(n.runs[i].first-1, n.high)
			if n.low != 0 && first <= last {
				found = append(found, Finding{Kind: SequenceGap, Instance: s.instance, Epoch: s.epoch, First: first, Last: last})
			}
		}
	}
	slices.SortFunc(found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.First, b.First))
	})
	return found
}

package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// tally counts what the summary and the charts tell.
type tally struct {
	allows, denies                        int
	used, unused, expiring, expired       int // of the allows, each once
	unusedAll, neverUsed, expiringAll     int // of the allows that have not ended
	open, wildcard, tenantWide, condition int // as above
	apis                                  map[string]int
	subjects                              map[string]bool
	given                                 map[[2]string]bool // api and permission
	ages                                  map[string]int
}

func (t *tally) count(line *verdictv1.GrantReview, at time.Time) {
	g := line.GetGrant()
	t.apis[g.GetApi()]++
	if g.GetEffect() != verdictv1.GrantEffect_GRANT_EFFECT_ALLOW {
		t.denies++
		return
	}
	t.allows++
	switch {
	case line.GetExpired():
		t.expired++
		return
	case line.GetUnused():
		t.unused++
	case line.GetExpiring():
		t.expiring++
	default:
		t.used++
	}
	t.subjects[g.GetSubject()] = true
	for _, p := range line.GetPermissions() {
		t.given[[2]string{g.GetApi(), p}] = true
	}
	for _, n := range []struct {
		counter *int
		holds   bool
	}{
		{&t.unusedAll, line.GetUnused()},
		{&t.neverUsed, line.GetLastUsed() == nil},
		{&t.expiringAll, line.GetExpiring()},
		{&t.open, g.GetExpiresAt() == nil},
		{&t.wildcard, strings.Contains(strings.Join(g.GetPermissions(), " "), "*")},
		{&t.tenantWide, strings.HasPrefix(g.GetSubject(), "tenant:")},
		{&t.condition, g.GetCondition() != ""},
	} {
		if n.holds {
			*n.counter++
		}
	}
	if line.GetUnused() {
		t.ages[age(line, at)]++
	}
}

// ages are the spans since the last use, and what is never used last.
var ages = []struct {
	upto time.Duration
	name string
}{
	{30 * 24 * time.Hour, "up to 30 days"},
	{90 * 24 * time.Hour, "31 to 90 days"},
	{180 * 24 * time.Hour, "91 to 180 days"},
	{365 * 24 * time.Hour, "181 to 365 days"},
	{1 << 62, "over a year"},
}

const neverUsed = "no use on record"

func age(line *verdictv1.GrantReview, at time.Time) string {
	if line.GetLastUsed() == nil {
		return neverUsed
	}
	since := at.Sub(line.GetLastUsed().AsTime())
	for _, a := range ages {
		if since <= a.upto {
			return a.name
		}
	}
	return neverUsed
}

// byAge is the unused by age; spans that unused_after leaves empty are not shown.
func (t *tally) byAge() (all []count) {
	for _, a := range ages {
		if n := t.ages[a.name]; n > 0 {
			all = append(all, count{a.name, n})
		}
	}
	if n := t.ages[neverUsed]; n > 0 {
		all = append(all, count{neverUsed, n})
	}
	return all
}

func (t *tally) states() []count {
	return []count{{"in use", t.used}, {"unused", t.unused}, {"in use, ends soon", t.expiring}, {"ended, still in the policy", t.expired}}
}

// figures is the summary.
func (t *tally) figures(p *page, changes int) []figure {
	live := t.allows - t.expired
	share := ""
	if live > 0 {
		share = fmt.Sprintf("%.0f %% of those in force", 100*float64(t.unusedAll)/float64(live))
	}
	without := 0
	for _, a := range p.Admins {
		without += a.WithoutReason
	}
	made := strconv.Itoa(changes)
	if p.Most {
		made = "at least " + made
	}
	return []figure{
		{strconv.Itoa(live), "allow grants in force", fmt.Sprintf("to %s, giving %s in %s",
			plural(len(t.subjects), "subject"), plural(len(t.given), "permission"), plural(len(p.APIs), "api"))},
		{strconv.Itoa(t.denies), "deny grants", "a deny beats every allow"},
		{strconv.Itoa(t.unusedAll), "unused for " + p.UnusedAfter, share},
		{strconv.Itoa(t.neverUsed), "without any use on record", "a part of the unused"},
		{strconv.Itoa(t.expiringAll), "end within " + p.ExpiringTerm, ""},
		{strconv.Itoa(t.expired), "ended, still in the policy", "they give nothing and can be deleted"},
		{strconv.Itoa(t.open), "without an end", "standing access"},
		{strconv.Itoa(t.wildcard), "with a wildcard", "they also give what is declared later"},
		{strconv.Itoa(t.tenantWide), "to a whole tenant", "everyone in it"},
		{strconv.Itoa(t.condition), "under a condition", ""},
		{made, "changes by " + plural(len(p.Admins), "administrator"), "in " + p.UnusedAfter},
		{strconv.Itoa(without), "changes without a reason", ""},
	}
}

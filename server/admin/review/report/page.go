package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// page is what the template writes down.
type page struct {
	CSP                       string
	Title, Organisation       string
	At                        string
	Revision                  uint64
	UnusedAfter, ExpiringTerm string
	Figures                   []figure
	Charts                    []chart

	APIs    []apiTable
	Unused  table
	Ending  table
	Denies  table
	SignOff table
	Admins  []admin
	Changes []change
	Omitted int  // changes that are not listed here
	Most    bool // there may be more changes than the review carries
}

// figure is a number of the summary.
type figure struct{ Value, Name, Note string }

// table is rows of which some may be left out.
type table struct {
	Rows    []row
	Omitted int
}

func (t *table) add(r row, most int) {
	if len(t.Rows) == most {
		t.Omitted++
		return
	}
	t.Rows = append(t.Rows, r)
}

// apiTable is who can do what in an api.
type apiTable struct {
	API string
	table
}

// row is a grant, or one permission of it.
type row struct {
	API, Permission, Name, Subject, Kind, Grant, Condition string
	Begins, Ends, LastUsed, Principals, Reason, Ticket     string
	Permissions                                            []string
	Denies                                                 []string // grants that forbid Permission to somebody
	More                                                   int      // permissions that are not in Permissions
	Marks                                                  []string
}

// admin is an administrator and what it did.
type admin struct {
	Actor                    string
	Changes, WithoutReason   int
	Policy, Revocation, Rest int
	First, Last              string
}

// change is one change.
type change struct{ Time, Trail, Number, Actor, Total, Reason, Ticket string }

// shownPermissions bounds what one cell lists; the first table and the CSV have all.
const shownPermissions = 40

func newPage(r *verdictv1.AccessReviewResponse, o Options) *page {
	p := &page{
		CSP: policyOfContent, Title: o.Title, Organisation: o.Organisation,
		At: minute(r.GetAt()), Revision: r.GetRevision(),
		UnusedAfter: days(o.UnusedAfter), ExpiringTerm: days(o.ExpiringWithin),
	}
	t := tally{apis: map[string]int{}, subjects: map[string]bool{}, given: map[[2]string]bool{}, ages: map[string]int{}}
	at := r.GetAt().AsTime()
	given, denied := map[string][]gives{}, forbidden(r.GetGrants())
	var order []string
	for _, line := range r.GetGrants() {
		t.count(line, at)
		g := line.GetGrant()
		one := grantRow(line)
		if g.GetEffect() != verdictv1.GrantEffect_GRANT_EFFECT_ALLOW {
			p.Denies.add(one, o.MaxRows)
			continue
		}
		if line.GetExpired() || line.GetExpiring() {
			p.Ending.add(one, o.MaxRows)
		}
		if line.GetExpired() {
			continue
		}
		if line.GetUnused() {
			p.Unused.add(one, o.MaxRows)
		}
		p.SignOff.add(one, o.MaxRows)
		if _, known := given[g.GetApi()]; !known {
			order = append(order, g.GetApi())
		}
		for _, name := range line.GetPermissions() {
			given[g.GetApi()] = append(given[g.GetApi()], gives{name, line})
		}
	}
	for _, id := range order {
		p.APIs = append(p.APIs, whoCan(id, given[id], denied, o.MaxRows))
	}
	p.changes(r.GetChanges(), o.MaxRows)
	p.Figures = t.figures(p, len(r.GetChanges()))
	p.Charts = []chart{
		horizontal("Allow grants by state", "An ended grant counts as ended, whatever else; an unused one as unused, even if it is about to end.", t.states()),
		horizontal("Grants by api", "Allow and deny.", top(t.apis, 12)),
		horizontal("Unused allow grants by time since the last use", "As far as use is looked back on, at most 400 days.", t.byAge()),
		weekly("Changes by administrator", r.GetChanges(), at, 8),
	}
	return p
}

// gives says that a grant gives a permission.
type gives struct {
	permission string
	line       *verdictv1.GrantReview
}

// shownDenies bounds how many denies one row names; their own table has all.
const shownDenies = 3

// forbidden are the ids of the deny grants in force, by api and permission. Without them who reads that a permission is given
// may take it for had, although nobody, or not everybody, has it.
func forbidden(lines []*verdictv1.GrantReview) map[[2]string][]string {
	denied := map[[2]string][]string{}
	for _, line := range lines {
		g := line.GetGrant()
		if g.GetEffect() == verdictv1.GrantEffect_GRANT_EFFECT_ALLOW || line.GetExpired() {
			continue
		}
		for _, name := range line.GetPermissions() {
			key := [2]string{g.GetApi(), name}
			denied[key] = append(denied[key], g.GetId())
		}
	}
	return denied
}

// whoCan is the table of an api. Grants come by subject and id, which the rows of each permission keep.
func whoCan(api string, all []gives, denied map[[2]string][]string, most int) apiTable {
	slices.SortStableFunc(all, func(x, y gives) int { return strings.Compare(x.permission, y.permission) })
	a := apiTable{API: api}
	for i, g := range all {
		if i == most {
			a.Omitted = len(all) - i
			break
		}
		r := grantRow(g.line)
		r.Permission, r.Denies = g.permission, denied[[2]string{api, g.permission}]
		if extra := len(r.Denies) - shownDenies; extra > 0 {
			r.Denies = append(slices.Clone(r.Denies[:shownDenies]), fmt.Sprintf("and %d more", extra))
		}
		a.Rows = append(a.Rows, r)
	}
	return a
}

// grantRow is a grant in a table.
func grantRow(line *verdictv1.GrantReview) row {
	g := line.GetGrant()
	kind, _, _ := strings.Cut(g.GetSubject(), ":")
	r := row{
		API: g.GetApi(), Name: g.GetSubjectDisplayName(), Subject: g.GetSubject(), Kind: cmp.Or(kinds[kind], "other"), Grant: g.GetId(),
		Condition: g.GetCondition(), Begins: minute(g.GetNotBefore()), Ends: minute(g.GetExpiresAt()), LastUsed: date(line.GetLastUsed()),
		Principals: strconv.FormatUint(line.GetPrincipals(), 10), Reason: g.GetReason(), Ticket: g.GetTicket(), Permissions: line.GetPermissions(),
	}
	if extra := len(r.Permissions) - shownPermissions; extra > 0 {
		r.Permissions, r.More = r.Permissions[:shownPermissions], extra
	}
	for _, mark := range []struct {
		on   bool
		text string
	}{{line.GetExpired(), "ended"}, {line.GetUnused() && !line.GetExpired(), "unused"}, {line.GetExpiring(), "ends soon"}} {
		if mark.on {
			r.Marks = append(r.Marks, mark.text)
		}
	}
	return r
}

// kinds are the kinds of subjects for people.
var kinds = map[string]string{
	"group": "group", "user": "user", "app": "application", "approle": "app role", "wid": "directory role", "tenant": "whole tenant",
}

// changes fills the tables of administrators and their changes.
func (p *page) changes(changes []*verdictv1.Change, most int) {
	p.Most = len(changes) == mostChanges
	byActor := map[string]*admin{}
	var order []*admin
	for _, c := range changes {
		a := byActor[c.GetActor()]
		if a == nil {
			a = &admin{Actor: c.GetActor(), Last: minute(c.GetTime())} // newest first
			byActor[c.GetActor()] = a
			order = append(order, a)
		}
		a.Changes++
		a.First = minute(c.GetTime())
		if c.GetReason() == "" {
			a.WithoutReason++
		}
		switch c.GetTrail() {
		case verdictv1.Trail_TRAIL_POLICY:
			a.Policy++
		case verdictv1.Trail_TRAIL_REVOCATION:
			a.Revocation++
		default:
			a.Rest++
		}
		if len(p.Changes) == most {
			p.Omitted++
			continue
		}
		p.Changes = append(p.Changes, change{
			Time: minute(c.GetTime()), Trail: trailWord(c.GetTrail()), Number: strconv.FormatUint(c.GetNumber(), 10), Actor: c.GetActor(),
			Total: strconv.FormatUint(c.GetTotal(), 10), Reason: c.GetReason(), Ticket: c.GetTicket(),
		})
	}
	slices.SortStableFunc(order, func(a, b *admin) int {
		return cmp.Or(cmp.Compare(b.Changes, a.Changes), strings.Compare(a.Actor, b.Actor))
	})
	for _, a := range order {
		p.Admins = append(p.Admins, *a)
	}
}

func trailWord(t verdictv1.Trail) string {
	return strings.ToLower(strings.TrimPrefix(t.String(), "TRAIL_"))
}

// mostChanges is how many changes a review carries at most (verdict.v1.AccessReviewResponse).
const mostChanges = 1000

// minute is an instant for people, empty for none.
func minute(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().UTC().Format("2006-01-02 15:04")
}

// date is the day of an instant, empty for none.
func date(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().UTC().Format(time.DateOnly)
}

// days is a duration for people.
func days(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return plural(int(d/(24*time.Hour)), "day")
	}
	return fmt.Sprint(d)
}

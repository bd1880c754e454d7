package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// auditChangesCmd lists what administrators changed.
type auditChangesCmd struct {
	auditFlags
	timeFlags

	Trail string `env:"-" enum:"policy,revocation,trust," default:"" help:"Only policy, revocation or trust." placeholder:"TRAIL"`
	Actor string `env:"-" help:"Only those of this administrator." placeholder:"WHO"`
	Limit int    `env:"-" default:"50" help:"At most this many; 50 unless set, 0: all." placeholder:"N"`
	Facts bool   `env:"-" help:"Print each fact before and after."`
	Wide  bool   `env:"-" help:"Print lines whole, however long."`
}

// Run prints the newest changes that match.
func (c *auditChangesCmd) Run(s *surroundings) error {
	from, to, err := c.bounds(time.Now(), 0)
	if err != nil {
		return err
	}
	if c.Limit < 0 {
		return usage(errors.New("--limit: less than 0"))
	}
	req := &verdictv1.ListChangesRequest{From: from, To: to, Trail: verdictv1.Trail(verdictv1.Trail_value["TRAIL_"+strings.ToUpper(c.Trail)]), Actor: c.Actor}
	out := newScreen(s.stdout, c.Wide)
	first := true
	return c.ask(s, func(client verdictv1.AuditServiceClient) error {
		return pages(c.Limit, func(size uint32, token string) (int, string, error) {
			req.PageSize, req.PageToken = size, token
			var resp *verdictv1.ListChangesResponse
			err := c.call(s.ctx, func(ctx context.Context) (err error) {
				resp, err = client.ListChanges(ctx, req)
				return err
			})
			if err != nil {
				return 0, "", err
			}
			err = c.print(out, resp.GetChanges(), first)
			first = false
			return len(resp.GetChanges()), resp.GetNextPageToken(), err
		})
	})
}

// changeWidths are the columns of changes; why and what was changed comes last.
var changeWidths = []int{19, 10, 8, 20}

func (c *auditChangesCmd) print(out *screen, changes []*verdictv1.Change, first bool) error {
	if c.JSON {
		for _, change := range changes {
			if err := out.json(change); err != nil {
				return err
			}
		}
		return nil
	}
	if first && len(changes) == 0 {
		_, err := fmt.Fprintln(out.to, "no change matches")
		return err
	}
	if first {
		head := []field{{text: "TIME (UTC)"}, {text: "TRAIL"}, {text: "NUMBER", right: true}, {text: "ADMINISTRATOR"}, {text: "WHY AND WHAT"}}
		for i := range head {
			head[i].colour = faint
		}
		if err := out.line(changeWidths, head); err != nil {
			return err
		}
	}
	for _, change := range changes {
		err := out.line(changeWidths, []field{
			{text: second(change.GetTime())},
			{text: strings.ToLower(strings.TrimPrefix(change.GetTrail().String(), "TRAIL_"))},
			{text: strconv.FormatUint(change.GetNumber(), 10), right: true},
			{text: change.GetActor()},
			{text: changed(change)},
		})
		if err != nil {
			return err
		}
		if c.Facts {
			if err := out.facts(change); err != nil {
				return err
			}
		}
	}
	return nil
}

// shownFacts is how many facts a line names.
const shownFacts = 2

// changed says why something was changed, and what: `onboarding (T-42): created grant/g-1 and 3 more`.
func changed(c *verdictv1.Change) string {
	var names []string
	for _, f := range c.GetFacts()[:min(len(c.GetFacts()), shownFacts)] {
		names = append(names, deed(f)+" "+f.GetFact())
	}
	what := strings.Join(names, ", ")
	if rest := c.GetTotal() - min(c.GetTotal(), uint64(len(names))); rest > 0 {
		what += fmt.Sprintf(" and %d more", rest)
	}
	why := c.GetReason()
	if c.GetTicket() != "" {
		why = strings.TrimSpace(why + " (" + c.GetTicket() + ")")
	}
	if why != "" {
		return why + ": " + strings.TrimSpace(what)
	}
	return strings.TrimSpace(what)
}

func deed(f *verdictv1.FactChange) string {
	switch {
	case f.GetBefore() == "":
		return "created"
	case f.GetAfter() == "":
		return "deleted"
	default:
		return "changed"
	}
}

// facts prints each fact before and after.
func (s *screen) facts(c *verdictv1.Change) error {
	var b strings.Builder
	for _, f := range c.GetFacts() {
		fmt.Fprintf(&b, "    %s %s\n", deed(f), plain(f.GetFact()))
		if f.GetBefore() != "" {
			fmt.Fprintf(&b, "      - %s\n", plain(f.GetBefore()))
		}
		if f.GetAfter() != "" {
			fmt.Fprintf(&b, "      + %s\n", plain(f.GetAfter()))
		}
	}
	if rest := c.GetTotal() - min(c.GetTotal(), uint64(len(c.GetFacts()))); rest > 0 {
		fmt.Fprintf(&b, "    and %d more\n", rest)
	}
	_, err := fmt.Fprint(s.to, b.String())
	return err
}

// auditPseudonymsCmd finds the pseudonyms of a principal.
type auditPseudonymsCmd struct {
	auditFlags

	Tenant    string `env:"-" required:"" help:"Tenant id of the principal." placeholder:"GUID"`
	Principal string `env:"-" required:"" help:"Object id of the principal." placeholder:"ID"`
	From      month  `env:"-" help:"First month, such as 2026-01; none: this month." placeholder:"MONTH"`
	To        month  `env:"-" help:"Last month; none: this month." placeholder:"MONTH"`
}

// month is a month of UTC.
type month struct{ time.Time }

const monthLayout = "2006-01"

// UnmarshalText reads a month. Kong calls it.
func (m *month) UnmarshalText(text []byte) error {
	t, err := time.Parse(monthLayout, string(text))
	if err != nil {
		return fmt.Errorf("%q is no month; write it as 2026-11", text)
	}
	m.Time = t
	return nil
}

// Run prints a pseudonym a month.
func (c *auditPseudonymsCmd) Run(s *surroundings) error {
	if !c.From.IsZero() && !c.To.IsZero() && c.To.Before(c.From.Time) {
		return usage(errors.New("--to: before --from"))
	}
	req := &verdictv1.FindPseudonymsRequest{TenantId: c.Tenant, PrincipalId: c.Principal}
	if !c.From.IsZero() {
		req.From = timestamppb.New(c.From.Time)
	}
	if !c.To.IsZero() {
		req.To = timestamppb.New(c.To.Time)
	}
	return c.ask(s, func(client verdictv1.AuditServiceClient) error {
		var resp *verdictv1.FindPseudonymsResponse
		err := c.call(s.ctx, func(ctx context.Context) (err error) {
			resp, err = client.FindPseudonyms(ctx, req)
			return err
		})
		if err != nil {
			return err
		}
		out := newScreen(s.stdout, true)
		var rows [][]field
		for _, p := range resp.GetPseudonyms() {
			if c.JSON {
				if err := out.json(p); err != nil {
					return err
				}
				continue
			}
			rows = append(rows, []field{{text: p.GetMonth()}, {text: p.GetPseudonym()}})
		}
		if c.JSON {
			return nil
		}
		return out.table([]string{"MONTH", "PSEUDONYM"}, rows)
	})
}

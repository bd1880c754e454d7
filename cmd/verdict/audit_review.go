package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/admin/review/report"
)

// auditReviewCmd makes an access review.
type auditReviewCmd struct {
	auditFlags

	CSV            string `name:"csv" env:"-" help:"Write a row a grant to this file; - is standard output." placeholder:"FILE"`
	HTML           string `name:"html" env:"-" help:"Write a report to read, print and sign to this file; - is standard output." placeholder:"FILE"`
	API            string `name:"api" env:"-" help:"Only this api." placeholder:"ID"`
	UnusedAfter    span   `env:"-" default:"90d" help:"Grants not used for this long are unused; 90d unless set, at most 400d." placeholder:"TIME"`
	ExpiringWithin span   `env:"-" default:"30d" help:"Grants that end within this time are told; 30d unless set." placeholder:"TIME"`
	Title          string `env:"-" default:"Access review" help:"Title of the report; ${default} unless set." placeholder:"TEXT"`
	Organisation   string `env:"-" help:"Whose policy it is, for the head of the report." placeholder:"NAME"`
	Wide           bool   `env:"-" help:"Print lines whole, however long."`
}

// stdoutName is the file that stands for standard output.
const stdoutName = "-"

func (c *auditReviewCmd) validate() (err error) {
	if n := count(c.CSV == stdoutName, c.HTML == stdoutName, c.JSON); n > 1 {
		err = errors.Join(err, errors.New("--csv -, --html -, --json: give one of them; there is one standard output"))
	}
	if c.CSV != "" && c.CSV == c.HTML && c.CSV != stdoutName {
		err = errors.Join(err, errors.New("--csv, --html: the same file"))
	}
	if c.UnusedAfter < span(time.Second) || c.UnusedAfter > span(400*spanDay) {
		err = errors.Join(err, fmt.Errorf("--unused-after: %s is not within 1s and 400d", c.UnusedAfter))
	}
	if c.ExpiringWithin > span(3650*spanDay) {
		err = errors.Join(err, fmt.Errorf("--expiring-within: %s is more than 3650d", c.ExpiringWithin))
	}
	return err
}

func count(all ...bool) (n int) {
	for _, b := range all {
		if b {
			n++
		}
	}
	return n
}

// counted is a number of things.
func counted[N int | uint64](n N, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// Run asks for the review and writes it where it is wanted: as files, as JSON, or as a table.
func (c *auditReviewCmd) Run(s *surroundings) error {
	if err := c.validate(); err != nil {
		return usage(err)
	}
	req := &verdictv1.AccessReviewRequest{
		Api: c.API, UnusedAfter: durationpb.New(time.Duration(c.UnusedAfter)), ExpiringWithin: durationpb.New(time.Duration(c.ExpiringWithin)),
	}
	return c.ask(s, func(client verdictv1.AuditServiceClient) error {
		var resp *verdictv1.AccessReviewResponse
		err := c.call(s.ctx, func(ctx context.Context) (err error) {
			resp, err = client.AccessReview(ctx, req)
			return err
		})
		if err != nil {
			return err
		}
		return c.write(s.stdout, resp)
	})
}

func (c *auditReviewCmd) write(stdout io.Writer, r *verdictv1.AccessReviewResponse) error {
	if c.CSV != "" {
		err := writeTo(stdout, c.CSV, func(w io.Writer) error { return report.WriteCSV(w, r) })
		if err != nil {
			return fmt.Errorf("--csv: %w", err)
		}
	}
	if c.HTML != "" {
		err := writeTo(stdout, c.HTML, func(w io.Writer) error {
			return report.WriteHTML(w, r, report.Options{
				Title: c.Title, Organisation: c.Organisation,
				UnusedAfter: time.Duration(c.UnusedAfter), ExpiringWithin: time.Duration(c.ExpiringWithin),
			})
		})
		if err != nil {
			return fmt.Errorf("--html: %w", err)
		}
	}
	out := newScreen(stdout, c.Wide)
	switch {
	case c.JSON:
		return out.json(r)
	case c.CSV == stdoutName || c.HTML == stdoutName:
		return nil
	case c.CSV != "" || c.HTML != "":
		return out.reviewed(r)
	default:
		return out.review(r)
	}
}

// writeTo writes a file that is there whole or not at all, readable by its owner only: it says who may do what.
func writeTo(stdout io.Writer, name string, write func(io.Writer) error) (err error) {
	if name == stdoutName {
		out := bufio.NewWriter(stdout)
		return errors.Join(write(out), out.Flush())
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := errors.Join(write(f), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// reviewed sums a review up in a line.
func (s *screen) reviewed(r *verdictv1.AccessReviewResponse) error {
	var unused, expiring, expired int
	for _, g := range r.GetGrants() {
		unused += count(g.GetUnused() && !g.GetExpired())
		expiring += count(g.GetExpiring())
		expired += count(g.GetExpired())
	}
	_, err := fmt.Fprintf(s.to, "revision %d: %s, %d unused, %d end soon, %d ended; %s by administrators\n",
		r.GetRevision(), counted(len(r.GetGrants()), "grant"), unused, expiring, expired, counted(len(r.GetChanges()), "change"))
	return err
}

// review prints a line a grant.
func (s *screen) review(r *verdictv1.AccessReviewResponse) error {
	if err := s.reviewed(r); err != nil || len(r.GetGrants()) == 0 {
		return err
	}
	rows := make([][]field, len(r.GetGrants()))
	for i, line := range r.GetGrants() {
		g := line.GetGrant()
		state, colour := "in use", ""
		switch {
		case line.GetExpired():
			state = "ended"
		case line.GetUnused():
			state, colour = "unused", red
		case line.GetExpiring():
			state = "ends soon"
		}
		effect := "allow"
		if g.GetEffect() != verdictv1.GrantEffect_GRANT_EFFECT_ALLOW {
			effect = "deny"
		}
		used := "never"
		if line.GetLastUsed() != nil {
			used = line.GetLastUsed().AsTime().UTC().Format(time.DateOnly)
		}
		who := g.GetSubject()
		if g.GetSubjectDisplayName() != "" {
			who = g.GetSubjectDisplayName() + " " + who
		}
		id, api := g.GetId(), g.GetApi()
		if !s.wide {
			id, api = cut(id, 36), cut(api, 20)
		}
		rows[i] = []field{
			{text: api}, {text: id}, {text: effect}, {text: state, colour: colour}, {text: used}, {text: fmt.Sprint(line.GetPrincipals()), right: true},
			{text: who},
		}
	}
	return s.table([]string{"API", "GRANT", "EFFECT", "STATE", "LAST USE", "CALLERS", "SUBJECT"}, rows)
}

package main

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/verdict-authz/verdict/server/audit/seal"
	"github.com/verdict-authz/verdict/store"
)

// progressEvery is how often a long run says how far it is.
const progressEvery = 10 * time.Second

// auditVerifyCmd checks that records and changes are as they were sealed. docs/audit-proof.md says what that proves.
type auditVerifyCmd struct {
	storeFlags

	From      moment   `env:"-" help:"From this instant on: RFC 3339 or a day; none: yesterday (UTC)." placeholder:"INSTANT"`
	To        moment   `env:"-" help:"Before this instant; none: all that is sealed." placeholder:"INSTANT"`
	All       bool     `env:"-" help:"From the first digest on, in place of --from."`
	Key       []string `env:"-" sep:"none" help:"Public key that digests are signed with; repeat for older ones." placeholder:"FILE.pub"`
	Digests   string   `env:"-" help:"Folder of copies of the digests, to compare with those of the store." placeholder:"DIR"`
	KeptSince moment   `env:"-" help:"Days from then on must be there; none: days without a partition are taken for retained away, and listed." placeholder:"DAY"`
	Findings  int      `env:"-" default:"1000" help:"Print at most this many findings, 1000 unless set; all are counted." placeholder:"N"`
	JSON      bool     `name:"json" env:"-" help:"Print one JSON object."`

	now func() time.Time // nil means time.Now
}

// Run verifies and prints. Something that is wrong is exit code 1, after the report.
func (c *auditVerifyCmd) Run(s *surroundings) error {
	if c.now == nil {
		c.now = time.Now
	}
	keys, err := c.keys()
	if err = errors.Join(err, c.check()); err != nil {
		return usage(err)
	}
	cfg := seal.VerifyConfig{KeptSince: c.KeptSince.Time, Most: c.Findings, Now: c.now, Report: c.progress(s)}
	if c.Digests != "" {
		folder, err := seal.OpenFolder(c.Digests)
		if err != nil {
			return usage(fmt.Errorf("--digests: %w", err))
		}
		cfg.Copies = folder
	}
	st, err := c.open(s)
	if err != nil {
		return err
	}
	defer st.Close()
	if err := st.CheckSchema(s.ctx); err != nil {
		return err
	}
	result, err := seal.Verify(s.ctx, st, keys, c.from(), c.To.Time, cfg)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printResultJSON(s.stdout, result)
	} else {
		err = printResult(s.stdout, result)
	}
	if err == nil && !result.OK() {
		err = errExamined
	}
	return err
}

func (c *auditVerifyCmd) check() (err error) {
	if c.All && !c.From.IsZero() {
		err = errors.Join(err, errors.New("--all, --from: give one of them"))
	}
	if !c.To.IsZero() && !c.To.After(c.from()) {
		err = errors.Join(err, errors.New("--to: it is not after --from"))
	}
	if c.Findings < 1 {
		err = errors.Join(err, errors.New("--findings: at least 1"))
	}
	return err
}

// from is the begin of the range; zero: that of the chain.
func (c *auditVerifyCmd) from() time.Time {
	switch {
	case c.All:
		return time.Time{}
	case !c.From.IsZero():
		return c.From.Time
	case !c.To.IsZero():
		return store.Day(c.To.Add(-1))
	}
	return store.Day(c.now()).AddDate(0, 0, -1)
}

// keys reads the public keys, and takes no private one: it has no business where things are verified.
func (c *auditVerifyCmd) keys() (keys []ed25519.PublicKey, err error) {
	if len(c.Key) == 0 {
		return nil, errors.New("--key: none given; without the public key nothing is proven")
	}
	for _, name := range c.Key {
		content, readErr := os.ReadFile(name)
		if readErr == nil {
			var key ed25519.PublicKey
			if key, readErr = seal.ParsePublicKey(content); readErr == nil {
				keys = append(keys, key)
				continue
			}
			readErr = fmt.Errorf("%s: %w", name, readErr)
		}
		err = errors.Join(err, fmt.Errorf("--key: %w", readErr))
	}
	return keys, err
}

// progress says on standard error how far a long run is.
func (c *auditVerifyCmd) progress(s *surroundings) func(seal.Progress) {
	last := c.now()
	return func(p seal.Progress) {
		if now := c.now(); now.Sub(last) >= progressEvery {
			last = now
			s.log.Info("verifying", "through", p.Through, "windows", p.Windows, "of", p.Of, "records", p.Records, "findings", p.Found)
		}
	}
}

func printResult(to io.Writer, r *seal.Result) error {
	if len(r.Findings) > 0 {
		w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "FINDING\tWHAT\tAT\tDETAIL")
		for i := range r.Findings {
			f := &r.Findings[i]
			at := ""
			if !f.At.IsZero() {
				at = f.At.Format(time.RFC3339Nano)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Kind, plain(f.What()), at, plain(f.Detail))
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if more := r.Found - uint64(len(r.Findings)); more > 0 {
			fmt.Fprintf(to, "and %d more\n", more)
		}
	}
	if !r.From.IsZero() {
		fmt.Fprintf(to, "range: %s to %s; sealed through %s\n", r.From.Format(time.RFC3339), r.To.Format(time.RFC3339), r.SealedThrough.Format(time.RFC3339))
	}
	if r.Late > 0 || r.Waiting > 0 {
		fmt.Fprintf(to, "late: %s sealed by backfill digests, %d records and changes to be sealed by the next\n", counted(r.Late, "record"), r.Waiting)
	}
	if r.NotKept > 0 {
		fmt.Fprintf(to, "not kept any more: %d records of %d days, %s to %s; their digests are\n", r.NotKept, len(r.Days),
			r.Days[0].Format(time.DateOnly), r.Days[len(r.Days)-1].Format(time.DateOnly))
	}
	if r.Copies > 0 {
		fmt.Fprintf(to, "copies: %d digests are as their copies\n", r.Copies)
	}
	_, err := fmt.Fprintf(to, "verified: %s, %s, %s, %s\n",
		counted(r.Records, "record"), counted(r.Changes, "change"), counted(r.Digests, "digest"), counted(r.Found, "finding"))
	return err
}

// resultJSON is a result as --json prints it.
type resultJSON struct {
	OK            bool           `json:"ok"`
	From          time.Time      `json:"from,omitzero"`
	To            time.Time      `json:"to,omitzero"`
	SealedThrough time.Time      `json:"sealed_through,omitzero"`
	Records       uint64         `json:"records"`
	Changes       uint64         `json:"changes"`
	Digests       uint64         `json:"digests"`
	Copies        uint64         `json:"copies"`
	Late          uint64         `json:"late"`
	Waiting       uint64         `json:"waiting"`
	NotKept       uint64         `json:"not_kept"`
	Days          []string       `json:"days_not_kept"`
	Found         uint64         `json:"found"`
	Findings      []seal.Finding `json:"findings"`
}

func printResultJSON(to io.Writer, r *seal.Result) error {
	out := resultJSON{
		OK: r.OK(), From: r.From, To: r.To, SealedThrough: r.SealedThrough, Records: r.Records, Changes: r.Changes, Digests: r.Digests,
		Copies: r.Copies, Late: r.Late, Waiting: r.Waiting, NotKept: r.NotKept, Days: []string{}, Found: r.Found, Findings: r.Findings,
	}
	for _, d := range r.Days {
		out.Days = append(out.Days, d.Format(time.DateOnly))
	}
	if out.Findings == nil {
		out.Findings = []seal.Finding{}
	}
	enc := json.NewEncoder(to)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

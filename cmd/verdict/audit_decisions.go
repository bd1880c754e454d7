package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// decisionPrinter prints decisions as they come, a line each.
type decisionPrinter struct {
	*screen
	json   bool
	widths []int // of the columns; set by the first page
}

var decisionHeading = []string{"TIME (UTC)", "EFFECT", "REASON", "CALLER", "DECISION", "ASKED"}

// tailWidths are the columns of decisions that come one by one: nobody knows what comes.
var tailWidths = []int{19, 6, 20, 13, 36}

// page prints a page. Later pages keep the columns of the first.
func (p *decisionPrinter) page(ds []*verdictv1.DecisionRecord) error {
	if p.json {
		for _, d := range ds {
			if err := p.screen.json(d); err != nil {
				return err
			}
		}
		return nil
	}
	if len(ds) == 0 {
		if p.widths == nil {
			_, err := fmt.Fprintln(p.to, "no decision matches")
			return err
		}
		return nil
	}
	if p.widths == nil {
		p.widths = []int{19, 6, 6, 6, 36}
		for _, d := range ds {
			for i, f := range p.fields(d)[:len(p.widths)] {
				p.widths[i] = max(p.widths[i], len([]rune(plain(f.text))))
			}
		}
		if err := p.heading(); err != nil {
			return err
		}
	}
	for _, d := range ds {
		if err := p.line(p.widths, p.fields(d)); err != nil {
			return err
		}
	}
	return nil
}

func (p *decisionPrinter) heading() error {
	fields := make([]field, len(decisionHeading))
	for i, h := range decisionHeading {
		fields[i] = field{text: h, colour: faint}
	}
	return p.line(p.widths, fields)
}

// fields are the columns of a decision.
func (p *decisionPrinter) fields(d *verdictv1.DecisionRecord) []field {
	effect, colour := effectWord(d.GetEffect()), red
	if d.GetEffect() == verdictv1.Effect_EFFECT_ALLOW {
		colour = green
	}
	return []field{
		{text: second(d.GetTime())},
		{text: effect, colour: colour},
		{text: reasonWord(d.GetReason())},
		{text: caller(d, p.wide)},
		{text: d.GetId()},
		{text: asked(d)},
	}
}

// caller is who was proven. Both ends of an id are enough to tell two callers apart, and get tells the whole.
func caller(d *verdictv1.DecisionRecord, whole bool) string {
	id := d.GetPrincipalId()
	switch {
	case id == "":
		return "-"
	case whole:
		id = d.GetTenantId() + "/" + id
	case utf8.RuneCountInString(id) > 12:
		all := []rune(id)
		id = string(all[:4]) + "…" + string(all[len(all)-4:])
	}
	return kindWord(d.GetPrincipalKind()) + " " + id
}

// asked is what the decision was about.
func asked(d *verdictv1.DecisionRecord) string {
	var parts []string
	switch {
	case d.GetRoute() != "":
		parts = append(parts, d.GetMethod(), d.GetApi()+"/"+d.GetRoute())
	case d.GetMethod() != "" || d.GetRawPath() != "":
		parts = append(parts, d.GetMethod(), cmp.Or(d.GetApi(), d.GetHost()), d.GetRawPath())
	default:
		parts = append(parts, d.GetApi(), strings.Join(d.GetPermissions(), ","), d.GetResource())
	}
	if n := d.GetRepeats(); n > 0 {
		parts = append(parts, fmt.Sprintf("(+%d like it)", n))
	}
	return strings.Join(strings.Fields(strings.Join(parts, " ")), " ")
}

func effectWord(e verdictv1.Effect) string {
	if e == verdictv1.Effect_EFFECT_ALLOW {
		return "allow"
	}
	return "deny" // as clients read the unspecified one
}

func kindWord(k verdictv1.PrincipalKind) string {
	if k == verdictv1.PrincipalKind_PRINCIPAL_KIND_UNSPECIFIED {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(k.String(), "PRINCIPAL_KIND_"))
}

// second is an instant for people, - for none.
func second(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().UTC().Format(time.DateTime)
}

// record prints the fields of a record that are set, a line each.
func (s *screen) record(d *verdictv1.DecisionRecord) error {
	number := func(n uint64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatUint(n, 10)
	}
	took := ""
	if d.GetTook() != nil {
		took = d.GetTook().AsDuration().String()
	}
	colour := red
	if d.GetEffect() == verdictv1.Effect_EFFECT_ALLOW {
		colour = green
	}
	at := ""
	if d.GetTime() != nil {
		at = d.GetTime().AsTime().UTC().Format(time.RFC3339Nano)
	}
	for _, f := range []struct{ name, text, colour string }{
		{"decision", d.GetId(), ""},
		{"time", at, ""},
		{"effect", effectWord(d.GetEffect()), colour},
		{"reason", reasonWord(d.GetReason()), ""},
		{"detail", d.GetDetail(), ""},
		{"revision", number(d.GetRevision()), ""},
		{"caller", kindWord(d.GetPrincipalKind()), ""},
		{"tenant", d.GetTenantId(), ""},
		{"principal", d.GetPrincipalId(), ""},
		{"client", d.GetClientId(), ""},
		{"token", d.GetTokenId(), ""},
		{"agent parent", d.GetAgentParent(), ""},
		{"agent facets", d.GetAgentFacets(), ""},
		{"api", d.GetApi(), ""},
		{"route", d.GetRoute(), ""},
		{"method", d.GetMethod(), ""},
		{"host", d.GetHost(), ""},
		{"template", d.GetTemplate(), ""},
		{"raw path", d.GetRawPath(), ""},
		{"permissions", strings.Join(d.GetPermissions(), ", "), ""},
		{"resource", d.GetResource(), ""},
		{"missing", strings.Join(d.GetMissingPermissions(), ", "), ""},
		{"grants", strings.Join(d.GetGrants(), ", "), ""},
		{"granted to", strings.Join(d.GetGrantSubjects(), ", "), ""},
		{"subjects", strings.Join(d.GetSubjects(), ", "), ""},
		{"scopes", strings.Join(d.GetScopes(), ", "), ""},
		{"door", d.GetDoor(), ""},
		{"asked by", d.GetPep(), ""},
		{"source", d.GetSourceIp(), ""},
		{"request", d.GetRequestId(), ""},
		{"took", took, ""},
		{"instance", d.GetInstance(), ""},
		{"epoch", number(d.GetEpoch()), ""},
		{"sequence", number(d.GetSequence()), ""},
		{"repeats", number(d.GetRepeats()), ""},
	} {
		if f.text == "" {
			continue
		}
		if err := s.line([]int{12}, []field{{text: f.name, colour: faint}, {text: f.text, colour: f.colour}}); err != nil {
			return err
		}
	}
	return nil
}

// explanation prints why a decision was made, then and now.
func (s *screen) explanation(e *verdictv1.ExplainDecisionResponse) error {
	d := e.GetDecision()
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s %s", d.GetId(), effectWord(d.GetEffect()), reasonWord(d.GetReason()))
	fmt.Fprintf(&b, ", %s UTC, revision %d\n", second(d.GetTime()), d.GetRevision())
	fmt.Fprintf(&b, "%s asked: %s\n\n", cmp.Or(strings.TrimSpace(strings.TrimPrefix(caller(d, true), "-")), "an unproven caller"), plain(asked(d)))
	for i, step := range e.GetSteps() {
		fmt.Fprintf(&b, "%2d. %s\n", i+1, plain(step))
	}
	b.WriteByte('\n')
	today := e.GetToday()
	if today == nil {
		b.WriteString("today: cannot be asked again; the record does not hold enough\n")
	} else {
		fmt.Fprintf(&b, "today: %s %s at revision %d", effectWord(today.GetEffect()), reasonWord(today.GetReason()), today.GetRevision())
		if g := today.GetGrants(); len(g) > 0 {
			fmt.Fprintf(&b, ", by %s", plain(strings.Join(g, ", ")))
		}
		if m := today.GetMissingPermissions(); len(m) > 0 {
			fmt.Fprintf(&b, ", missing %s", plain(strings.Join(m, ", ")))
		}
		b.WriteByte('\n')
		if today.GetConditional() {
			b.WriteString("  a condition takes part, which is taken as not holding\n")
		}
	}
	for _, diff := range e.GetDifferences() {
		fmt.Fprintf(&b, "  - %s\n", plain(diff))
	}
	if today != nil && len(e.GetDifferences()) == 0 {
		b.WriteString("  nothing differs\n")
	}
	_, err := fmt.Fprint(s.to, b.String())
	return err
}

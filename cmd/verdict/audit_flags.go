package main

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// span is a duration that may be in days: 90d, 1d12h, 24h.
type span time.Duration

const spanDay = 24 * time.Hour

// UnmarshalText reads a span. Kong calls it.
func (s *span) UnmarshalText(text []byte) error {
	rest, days := string(text), time.Duration(0)
	if number, after, ok := strings.Cut(rest, "d"); ok {
		n, err := strconv.ParseInt(number, 10, 32)
		if err != nil || n < 0 || n > int64(math.MaxInt64/spanDay) {
			return fmt.Errorf("%q is no time; write days, hours, minutes or seconds, such as 90d, 36h or 10m", text)
		}
		rest, days = after, time.Duration(n)*spanDay
	}
	d := time.Duration(0)
	if rest != "" || days == 0 && !strings.HasSuffix(string(text), "d") {
		var err error
		if d, err = time.ParseDuration(rest); err != nil || d < 0 || d > math.MaxInt64-days {
			return fmt.Errorf("%q is no time; write days, hours, minutes or seconds, such as 90d, 36h or 10m", text)
		}
	}
	*s = span(days + d)
	return nil
}

// String is the span as UnmarshalText reads it.
func (s span) String() string {
	d := time.Duration(s)
	if days := d / spanDay; days > 0 && d%spanDay == 0 {
		return fmt.Sprintf("%dd", days)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// moment is an instant: RFC 3339, or a day, which begins at midnight UTC.
type moment struct{ time.Time }

// UnmarshalText reads a moment. Kong calls it.
func (m *moment) UnmarshalText(text []byte) error {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, string(text)); err == nil {
			m.Time = t.UTC()
			return nil
		}
	}
	return fmt.Errorf("%q is no instant; write RFC 3339, such as 2026-11-21T09:30:00Z, or a day, such as 2026-11-21", text)
}

// timestamp is the moment in protobuf, nil for none.
func (m moment) timestamp() *timestamppb.Timestamp {
	if m.IsZero() {
		return nil
	}
	return timestamppb.New(m.Time)
}

// timeFlags say from when to when.
type timeFlags struct {
	Since span   `env:"-" help:"What is no older than this, such as 24h or 90d." placeholder:"TIME"`
	From  moment `env:"-" help:"From this instant on: RFC 3339 or a day." placeholder:"INSTANT"`
	To    moment `env:"-" help:"Before this instant." placeholder:"INSTANT"`
}

// bounds checks the flags and returns the instants. otherwise is the --since that nothing given means; 0: no bound.
func (f *timeFlags) bounds(now time.Time, otherwise time.Duration) (from, to *timestamppb.Timestamp, err error) {
	since := time.Duration(f.Since)
	if since != 0 && !f.From.IsZero() {
		return nil, nil, usage(errors.New("--since, --from: give one of them"))
	}
	if since == 0 && f.From.IsZero() {
		since = otherwise
	}
	begin := f.From
	if since != 0 {
		begin = moment{now.Add(-since).UTC()}
	}
	if !begin.IsZero() && !f.To.IsZero() && !begin.Before(f.To.Time) {
		return nil, nil, usage(errors.New("--to: not after the beginning, so nothing could match"))
	}
	return begin.timestamp(), f.To.timestamp(), nil
}

// filterFlags say which decisions; all of them must hold. None has a variable: VERDICT_TENANT is what serve accepts, not
// what a question is about.
type filterFlags struct {
	Tenant     string `env:"-" help:"Tenant id of the caller." placeholder:"GUID"`
	Principal  string `env:"-" help:"Object id of the caller, or its pseudonym." placeholder:"ID"`
	Client     string `env:"-" help:"Client id of the application." placeholder:"ID"`
	Subject    string `env:"-" help:"Subject of a grant that decided, such as group:TENANT/ID." placeholder:"SUBJECT"`
	Permission string `env:"-" help:"Permission that was asked for." placeholder:"NAME"`
	API        string `name:"api" env:"-" help:"Id of the api." placeholder:"ID"`
	Route      string `env:"-" help:"Id of the route." placeholder:"ID"`
	Effect     string `env:"-" enum:"allow,deny," default:"" help:"allow or deny." placeholder:"EFFECT"`
	Reason     string `env:"-" help:"Reason, such as NO_GRANT." placeholder:"CODE"`
	Revision   uint64 `env:"-" help:"Revision of the policy it was decided on." placeholder:"N"`
}

// filter is the flags as calls want them.
func (f *filterFlags) filter() (*verdictv1.DecisionFilter, error) {
	reason, err := parseReason(f.Reason)
	if err != nil {
		return nil, usage(err)
	}
	effect := map[string]verdictv1.Effect{"allow": verdictv1.Effect_EFFECT_ALLOW, "deny": verdictv1.Effect_EFFECT_DENY}[f.Effect]
	return &verdictv1.DecisionFilter{
		TenantId: f.Tenant, PrincipalId: f.Principal, ClientId: f.Client, Subject: f.Subject, Permission: f.Permission, Api: f.API,
		Route: f.Route, Effect: effect, Reason: reason, Revision: f.Revision,
	}, nil
}

const reasonPrefix = "REASON_"

// parseReason reads a reason by its name, however it is spelt.
func parseReason(text string) (verdictv1.Reason, error) {
	if text == "" {
		return verdictv1.Reason_REASON_UNSPECIFIED, nil
	}
	name := strings.TrimPrefix(strings.ToUpper(strings.ReplaceAll(text, "-", "_")), reasonPrefix)
	if n, ok := verdictv1.Reason_value[reasonPrefix+name]; ok && n != 0 {
		return verdictv1.Reason(n), nil
	}
	var known []string
	for n := range verdictv1.Reason_name {
		if n != 0 {
			known = append(known, reasonWord(verdictv1.Reason(n)))
		}
	}
	slices.Sort(known)
	return 0, fmt.Errorf("--reason: there is no reason %q; did you mean %s?", text, nearest(name, known))
}

// reasonWord is a reason for people.
func reasonWord(r verdictv1.Reason) string { return strings.TrimPrefix(r.String(), reasonPrefix) }

var decisionID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// checkDecisionID refuses what cannot be the id of a decision before anybody is asked.
func checkDecisionID(id string) error {
	if decisionID.MatchString(id) {
		return nil
	}
	return usage(fmt.Errorf("%q is no decision id; it looks like 01932f5e-8c7a-7b3e-9d2f-5a1c4e8b7d60, and stands in the header x-verdict-decision-id", id))
}

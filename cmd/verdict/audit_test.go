package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/audit/seal"
)

func TestAuditListForPeople(t *testing.T) {
	f := &fakeAudit{decisions: auditRecords(3)}
	f.decisions[2].Route, f.decisions[2].Method, f.decisions[2].Permissions, f.decisions[2].Resource = "", "", []string{"reports.run"}, "r-\x1b[31m1"
	code, out, errs := askAudit(t, f, "list")
	if code != exitOK || errs != "" {
		t.Fatalf("%d %s", code, errs)
	}
	want := `TIME (UTC)           EFFECT  REASON            CALLER          DECISION                              ASKED
2026-11-21 10:05:00  allow   ALLOWED_BY_GRANT  user bbbb…0001  01932f5e-8c7a-7b3e-9d2f-000000000000  GET orders/read
2026-11-21 10:04:00  deny    NO_GRANT          user bbbb…0001  01932f5e-8c7a-7b3e-9d2f-000000000001  GET orders/read
2026-11-21 10:03:00  allow   ALLOWED_BY_GRANT  user bbbb…0001  01932f5e-8c7a-7b3e-9d2f-000000000002  orders reports.run…
`
	if d := cmp.Diff(want, out); d != "" {
		t.Error(d)
	}
	_, wide, _ := askAudit(t, f, "list", "--wide")
	for _, whole := range []string{auditTenant + "/bbbbbbbb-0001-4000-8000-000000000001", `orders reports.run r-\u001b[31m1`} {
		if !strings.Contains(wide, whole) {
			t.Errorf("--wide does not print %q whole:\n%s", whole, wide)
		}
	}
	_, none, _ := askAudit(t, &fakeAudit{}, "list")
	if none != "no decision matches\n" {
		t.Errorf("%q", none)
	}
}

func TestAuditTablesFitTheScreen(t *testing.T) {
	long := strings.Repeat("x", 200)
	f := &fakeAudit{decisions: auditRecords(5), review: &verdictv1.AccessReviewResponse{}, counts: &verdictv1.SummarizeResponse{}}
	for _, d := range f.decisions {
		d.Api, d.Route, d.PrincipalId, d.Reason = long, long, long, verdictv1.Reason_REASON_NONCE_TOKEN_UNVERIFIABLE
		f.changes = append(f.changes, &verdictv1.Change{Trail: verdictv1.Trail_TRAIL_REVOCATION, Number: 1 << 60, Actor: long, Reason: long, Total: 9})
		f.review.Grants = append(f.review.Grants, &verdictv1.GrantReview{Grant: &verdictv1.Grant{Id: long, Api: long, Subject: long, SubjectDisplayName: long}})
		f.counts.Counts = append(f.counts.Counts, &verdictv1.Count{Key: long + d.GetId(), Allowed: 1 << 40, Denied: 1 << 40, Bucket: timestamppb.Now()})
	}
	for _, args := range [][]string{{"list"}, {"changes"}, {"review"}, {"summary", "--by", "route"}, {"summary", "--by", "route", "--bucket", "1h"}} {
		code, out, errs := askAudit(t, f, args...)
		if code != exitOK || strings.Count(out, "\n") < 5 {
			t.Errorf("%v: %d %s%s", args, code, out, errs)
		}
		for line := range strings.Lines(out) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > screenWidth {
				t.Errorf("%v: %d columns: %s", args, n, line)
			}
		}
	}
}

func TestAuditListPagesByItself(t *testing.T) {
	for name, tc := range map[string]struct {
		limit       string
		lines, asks int
	}{
		"one page is enough":          {"3", 3, 1},
		"as many as there are":        {"0", 2500, 3},
		"a limit in a later page":     {"1001", 1001, 2},
		"a limit at the end of one":   {"1000", 1000, 1},
		"a limit that is not reached": {"9000", 2500, 3},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeAudit{decisions: auditRecords(2500)}
			code, out, errs := askAudit(t, f, "list", "--json", "--limit", tc.limit)
			if code != exitOK {
				t.Fatalf("%d %s", code, errs)
			}
			n := 0
			for line := range strings.Lines(out) {
				var d struct{ ID, Reason, PrincipalID string }
				if err := json.Unmarshal([]byte(line), &d); err != nil || d.ID != auditID(n) || !strings.HasPrefix(d.Reason, "REASON_") {
					t.Fatalf("line %d is %s %v", n, line, err)
				}
				n++
			}
			if n != tc.lines || f.calls != tc.asks {
				t.Errorf("%d lines of %d calls, want %d of %d", n, f.calls, tc.lines, tc.asks)
			}
		})
	}
}

func TestAuditFiltersAreAsked(t *testing.T) {
	filters := []string{
		"--tenant", "t", "--principal", "p", "--client", "c", "--subject", "s", "--permission", "orders.read", "--api", "orders", "--route", "read",
		"--effect", "deny", "--reason", "no-grant", "--revision", "7",
	}
	times := []string{"--from", "2026-11-20", "--to", "2026-11-21T09:30:00+01:00"}
	from, to := timestamppb.New(time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)), timestamppb.New(time.Date(2026, 11, 21, 8, 30, 0, 0, time.UTC))
	filter := &verdictv1.DecisionFilter{
		TenantId: "t", PrincipalId: "p", ClientId: "c", Subject: "s", Permission: "orders.read", Api: "orders", Route: "read",
		Effect: verdictv1.Effect_EFFECT_DENY, Reason: verdictv1.Reason_REASON_NO_GRANT, Revision: 7,
	}
	bounded := proto.CloneOf(filter)
	bounded.From, bounded.To = from, to
	for name, tc := range map[string]struct {
		args []string
		want proto.Message
	}{
		"list": {append(append([]string{"list"}, filters...), times...), &verdictv1.ListDecisionsRequest{
			From: from, To: to, TenantId: "t", PrincipalId: "p", ClientId: "c", Subject: "s", Permission: "orders.read", Api: "orders", Route: "read",
			Effect: verdictv1.Effect_EFFECT_DENY, Reason: verdictv1.Reason_REASON_NO_GRANT, Revision: 7, PageSize: 100,
		}},
		"summary": {append(append([]string{"summary", "--by", "grant", "--bucket", "1d12h", "--top", "5"}, filters...), times...), &verdictv1.SummarizeRequest{
			Filter: bounded, By: verdictv1.Dimension_DIMENSION_GRANT, Bucket: durationpb.New(36 * time.Hour), Limit: 5,
		}},
		"changes": {append([]string{"changes", "--trail", "trust", "--actor", "carol", "--limit", "7"}, times...), &verdictv1.ListChangesRequest{
			From: from, To: to, Trail: verdictv1.Trail_TRAIL_TRUST, Actor: "carol", PageSize: 7,
		}},
		"review": {[]string{"review", "--api", "orders", "--unused-after", "45d", "--expiring-within", "1d"}, &verdictv1.AccessReviewRequest{
			Api: "orders", UnusedAfter: durationpb.New(45 * spanDay), ExpiringWithin: durationpb.New(spanDay),
		}},
		"pseudonyms": {[]string{"pseudonyms", "--tenant", "t", "--principal", "p", "--from", "2026-01", "--to", "2026-11"}, &verdictv1.FindPseudonymsRequest{
			TenantId: "t", PrincipalId: "p", From: timestamppb.New(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), To: timestamppb.New(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeAudit{counts: &verdictv1.SummarizeResponse{}, review: &verdictv1.AccessReviewResponse{}}
			if code, _, errs := askAudit(t, f, tc.args...); code != exitOK {
				t.Fatalf("%d %s", code, errs)
			}
			if d := cmp.Diff(tc.want, f.last(), protocmp.Transform()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAuditSinceIsFromNow(t *testing.T) {
	f := &fakeAudit{counts: &verdictv1.SummarizeResponse{}}
	for want, args := range map[time.Duration][]string{
		90 * 24 * time.Hour: {"list", "--since", "90d"},
		24 * time.Hour:      {"summary"},
	} {
		if code, _, errs := askAudit(t, f, args...); code != exitOK {
			t.Fatalf("%d %s", code, errs)
		}
		var from *timestamppb.Timestamp
		switch req := f.last().(type) {
		case *verdictv1.ListDecisionsRequest:
			from = req.GetFrom()
		case *verdictv1.SummarizeRequest:
			from = req.GetFilter().GetFrom()
		}
		if ago := time.Since(from.AsTime()); ago < want || ago > want+time.Minute {
			t.Errorf("%v: from %s ago", args, ago)
		}
	}
}

func TestAuditGetAndExplain(t *testing.T) {
	f := &fakeAudit{decisions: auditRecords(1), explained: &verdictv1.ExplainDecisionResponse{
		Decision: auditRecord(0), Steps: []string{"the token was proven", "grant readers-read \x1b]0;x"},
		Today:       &verdictv1.Outcome{Effect: verdictv1.Effect_EFFECT_DENY, Reason: verdictv1.Reason_REASON_NO_GRANT, Revision: 9, MissingPermissions: []string{"orders.read"}, Conditional: true},
		Differences: []string{"grant readers-read is gone"},
	}}
	code, out, errs := askAudit(t, f, "explain", auditID(0))
	want := auditID(0) + `: allow ALLOWED_BY_GRANT, 2026-11-21 10:05:00 UTC, revision 4
user 11111111-1111-4111-8111-111111111111/bbbbbbbb-0001-4000-8000-000000000001 asked: GET orders/read

 1. the token was proven
 2. grant readers-read \u001b]0;x

today: deny NO_GRANT at revision 9, missing orders.read
  a condition takes part, which is taken as not holding
  - grant readers-read is gone
`
	if d := cmp.Diff(want, out); code != exitOK || d != "" {
		t.Errorf("%d %s %s", code, errs, d)
	}
	_, out, _ = askAudit(t, f, "get", auditID(0))
	for _, line := range []string{"decision      " + auditID(0), "reason        ALLOWED_BY_GRANT", "took          150µs", "grants        readers-read"} {
		if !strings.Contains(out, line+"\n") {
			t.Errorf("no line %q in\n%s", line, out)
		}
	}
	if strings.Contains(out, "resource") {
		t.Error("a field that is not set is printed")
	}
	_, out, _ = askAudit(t, f, "get", auditID(0), "--json")
	if !strings.HasPrefix(out, `{"id":"`+auditID(0)+`",`) || strings.Count(out, "\n") != 1 {
		t.Errorf("%s", out)
	}
}

func TestAuditExplainOfWhatCannotBeAskedAgain(t *testing.T) {
	d := auditRecord(1)
	d.PrincipalId, d.PrincipalKind = "", 0
	_, out, _ := askAudit(t, &fakeAudit{explained: &verdictv1.ExplainDecisionResponse{Decision: d}}, "explain", auditID(1))
	for _, want := range []string{"an unproven caller asked", "today: cannot be asked again"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
}

func TestAuditSummary(t *testing.T) {
	count := func(key string, hour int, allowed, denied uint64) *verdictv1.Count {
		return &verdictv1.Count{Key: key, Bucket: timestamppb.New(auditTime.Truncate(time.Hour).Add(time.Duration(hour) * time.Hour)), Allowed: allowed, Denied: denied}
	}
	times := []string{"--from", "2026-11-21T10:00:00Z", "--to", "2026-11-21T14:00:00Z"}
	for name, tc := range map[string]struct {
		args   []string
		counts []*verdictv1.Count
		more   bool
		want   string
	}{
		"by reason, a bar each": {
			args: []string{"--by", "reason"}, counts: []*verdictv1.Count{count("REASON_NO_GRANT", 0, 0, 10), count("REASON_ALLOWED_BY_GRANT", 0, 40, 0)}, more: true,
			want: `REASON            ALLOWED  DENIED
NO_GRANT                0      10  ███████▌
ALLOWED_BY_GRANT       40       0  ██████████████████████████████
there are more; see --top
`,
		},
		"by principal over time, a line each": {
			args: []string{"--by", "principal", "--bucket", "1h"}, counts: []*verdictv1.Count{count("", 0, 0, 1), count("", 3, 0, 7), count("t/p", 1, 4, 0)},
			want: `PRINCIPAL            ALLOWED  DENIED  EVERY 1h
(nobody was proven)        0       8  ▂  █
t/p                        4       0   █
`,
		},
		"all together over time, a bar a bucket": {
			args: []string{"--by", "all", "--bucket", "1h"}, counts: []*verdictv1.Count{count("", 0, 3, 1), count("", 2, 0, 2)},
			want: `FROM (UTC)           ALLOWED  DENIED
2026-11-21 10:00:00        3       1  ██████████████████████████████
2026-11-21 12:00:00        0       2  ███████████████
`,
		},
		"nothing": {args: []string{"--by", "grant"}, want: "no decision from 2026-11-21 10:00:00 to 2026-11-21 14:00:00 UTC matches\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeAudit{counts: &verdictv1.SummarizeResponse{Counts: tc.counts, More: tc.more}}
			code, out, errs := askAudit(t, f, append(append([]string{"summary"}, tc.args...), times...)...)
			if d := cmp.Diff(tc.want, out); code != exitOK || d != "" {
				t.Errorf("%d %s %s", code, errs, d)
			}
		})
	}
}

func TestAuditChanges(t *testing.T) {
	f := &fakeAudit{changes: []*verdictv1.Change{
		{
			Trail: verdictv1.Trail_TRAIL_POLICY, Number: 12, Time: timestamppb.New(auditTime), Actor: "carol", Reason: "onboarding", Ticket: "T-42", Total: 4,
			Facts: []*verdictv1.FactChange{{Fact: "grant/g-1", After: `{"id":"g-1"}`}, {Fact: "grant/g-2", Before: `{"id":"g-2"}`}, {Fact: "api/orders", Before: "{}", After: "{}"}},
		},
		{Trail: verdictv1.Trail_TRAIL_REVOCATION, Number: 3, Time: timestamppb.New(auditTime), Actor: "dave", Total: 1, Facts: []*verdictv1.FactChange{{Fact: "revocation/r-1", After: "{}"}}},
	}}
	_, out, _ := askAudit(t, f, "changes", "--facts")
	want := `TIME (UTC)           TRAIL         NUMBER  ADMINISTRATOR         WHY AND WHAT
2026-11-21 10:05:00  policy            12  carol                 onboarding (T-42): created grant/g-1, deleted grant/g-…
    created grant/g-1
      + {"id":"g-1"}
    deleted grant/g-2
      - {"id":"g-2"}
    changed api/orders
      - {}
      + {}
    and 1 more
2026-11-21 10:05:00  revocation         3  dave                  created revocation/r-1
    created revocation/r-1
      + {}
`
	if d := cmp.Diff(want, out); d != "" {
		t.Error(d)
	}
	_, out, _ = askAudit(t, f, "changes", "--json")
	if n := strings.Count(out, "\n"); n != 2 || !strings.HasPrefix(out, `{"trail":"TRAIL_POLICY","number":"12"`) {
		t.Errorf("%s", out)
	}
}

func TestAuditPseudonyms(t *testing.T) {
	_, out, _ := askAudit(t, &fakeAudit{}, "pseudonyms", "--tenant", "t", "--principal", "p")
	if want := "MONTH    PSEUDONYM\n2026-10  p1\n2026-11  p2\n"; out != want {
		t.Errorf("%q", out)
	}
	_, out, _ = askAudit(t, &fakeAudit{}, "pseudonyms", "--tenant", "t", "--principal", "p", "--json")
	if want := `{"month":"2026-10","pseudonym":"p1"}` + "\n"; !strings.HasPrefix(out, want) {
		t.Errorf("%q", out)
	}
}

func TestAuditReviewWritesFiles(t *testing.T) {
	dir := t.TempDir()
	f := &fakeAudit{review: &verdictv1.AccessReviewResponse{At: timestamppb.New(auditTime), Revision: 8, Grants: []*verdictv1.GrantReview{
		{Grant: &verdictv1.Grant{Id: "g-1", Api: "orders", Subject: "tenant:" + auditTenant, SubjectDisplayName: "=evil()", Effect: verdictv1.GrantEffect_GRANT_EFFECT_ALLOW}, Permissions: []string{"orders.read"}, Unused: true},
		{Grant: &verdictv1.Grant{Id: "g-2", Api: "orders", Subject: "wid:x", Effect: verdictv1.GrantEffect_GRANT_EFFECT_DENY}, Expired: true, Unused: true},
	}}}
	sheet, page := filepath.Join(dir, "review.csv"), filepath.Join(dir, "review.html")
	if err := os.WriteFile(page, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := askAudit(t, f, "review", "--csv", sheet, "--html", page, "--title", "Q4", "--organisation", "Contoso", "--unused-after", "45d")
	if code != exitOK || out != "revision 8: 2 grants, 1 unused, 0 end soon, 1 ended; 0 changes by administrators\n" {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	for file, wants := range map[string][]string{sheet: {"g-1", "'=evil()"}, page: {"<bdi>Q4</bdi>", "Contoso", "45 days", "orders.read"}} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !bytes.Contains(text, []byte(want)) {
				t.Errorf("%s: no %q", file, want)
			}
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", file, info.Mode(), err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("%v %v: something is left over", entries, err)
	}
	_, out, _ = askAudit(t, f, "review", "--csv", "-")
	if !strings.HasPrefix(out, "reviewed_at,") || strings.Contains(out, "2 grants") {
		t.Errorf("%s", out)
	}
	_, out, _ = askAudit(t, f, "review")
	if !strings.Contains(out, "orders  g-1    allow   unused  never           0  =evil() tenant:") {
		t.Errorf("%s", out)
	}
	_, out, _ = askAudit(t, f, "review", "--json")
	if !strings.HasPrefix(out, `{"at":`) || strings.Count(out, "\n") != 1 {
		t.Errorf("%s", out)
	}
	if code, _, errs := askAudit(t, f, "review", "--html", filepath.Join(dir, "none", "x.html")); code != exitFailed || !strings.Contains(errs, "--html: ") {
		t.Errorf("%d %s", code, errs)
	}
}

func TestAFileThatFailsHalfwayIsNotThere(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "x.csv")
	if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := writeTo(nil, name, func(w io.Writer) error {
		_, err := io.WriteString(w, "half")
		return errors.Join(err, errors.New("no more"))
	})
	text, readErr := os.ReadFile(name)
	if err == nil || readErr != nil || string(text) != "old" {
		t.Errorf("%v, %v: %s", err, readErr, text)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v %v: something is left over", entries, err)
	}
}

func TestAuditErrorsSayWhatToDo(t *testing.T) {
	unavailable, err := status.New(codes.Unavailable, "the store cannot be reached").WithDetails(durationpb.New(1))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		err  error
		want string
		code int
	}{
		"a refused caller":             {[]string{"list"}, status.Error(codes.PermissionDenied, "no grant"), "refuses this to the caller: no grant; ask an administrator", exitFailed},
		"an unknown caller":            {[]string{"list"}, status.Error(codes.Unauthenticated, "no certificate"), "show a client certificate with --admin-cert", exitFailed},
		"another service":              {[]string{"list"}, status.Error(codes.Unimplemented, "x"), "is it the admin listener", exitFailed},
		"a store that is away":         {[]string{"changes"}, unavailable.Err(), "cannot answer now: the store cannot be reached", exitFailed},
		"a request that is refused":    {[]string{"summary"}, status.Error(codes.InvalidArgument, "bucket: too many\x1b"), `verdict: bucket: too many\u001b`, exitFailed},
		"an id that is not kept":       {[]string{"get", auditID(1)}, nil, "no decision " + auditID(1) + " is kept", exitFailed},
		"no id at all":                 {[]string{"explain", "no\x1bid"}, nil, `"no\x1bid" is no decision id`, exitUsage},
		"a reason that is misspelt":    {[]string{"list", "--reason", "NO_GRNT"}, nil, "did you mean NO_GRANT?", exitUsage},
		"two beginnings":               {[]string{"list", "--since", "1d", "--from", "2026-01-01"}, nil, "--since, --from: give one of them", exitUsage},
		"an end before the beginning":  {[]string{"list", "--from", "2026-01-02", "--to", "2026-01-02"}, nil, "--to: not after the beginning", exitUsage},
		"a time that is none":          {[]string{"list", "--since", "1w"}, nil, `"1w" is no time; write days`, exitUsage},
		"an instant that is none":      {[]string{"list", "--from", "yesterday"}, nil, `"yesterday" is no instant; write RFC 3339`, exitUsage},
		"a month that is none":         {[]string{"pseudonyms", "--tenant=t", "--principal=p", "--from", "2026"}, nil, `"2026" is no month`, exitUsage},
		"an effect that is none":       {[]string{"list", "--effect", "maybe"}, nil, "--effect must be one of", exitUsage},
		"a negative limit":             {[]string{"list", "--limit=-1"}, nil, "--limit: less than 0", exitUsage},
		"a bucket under a minute":      {[]string{"summary", "--bucket", "5s"}, nil, "--bucket: less than 1m", exitUsage},
		"one output for two":           {[]string{"review", "--csv", "-", "--json"}, nil, "there is one standard output", exitUsage},
		"one file for two":             {[]string{"review", "--csv", "x", "--html", "x"}, nil, "the same file", exitUsage},
		"a look too far back":          {[]string{"review", "--unused-after", "401d"}, nil, "--unused-after: 401d is not within 1s and 400d", exitUsage},
		"no principal":                 {[]string{"pseudonyms", "--tenant", "t"}, nil, "missing flags: --principal", exitUsage},
		"no timeout":                   {[]string{"list", "--timeout", "0s"}, nil, "--timeout: must be longer than 0s", exitUsage},
		"a pseudonym that is not made": {[]string{"pseudonyms", "--tenant=t", "--principal=p"}, status.Error(codes.FailedPrecondition, "no pseudonyms are used"), "no pseudonyms are used", exitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := askAudit(t, &fakeAudit{err: tc.err}, tc.args...)
			if code != tc.code || !strings.Contains(errs, tc.want) || out != "" && code != exitUsage {
				t.Errorf("%d %s\n%s", code, errs, out)
			}
		})
	}
}

func TestSpans(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90d": 90 * 24 * time.Hour, "1d12h": 36 * time.Hour, "24h": 24 * time.Hour, "0d": 0, "0s": 0, "1d0s": 24 * time.Hour, "106751d": 106751 * 24 * time.Hour,
		"": -1, "d": -1, "-1d": -1, "1w": -1, "1d-1h": -1, "-1h": -1, "1d1d": -1, "106751d999h": -1, "106752d": -1, "99999999999d": -1, "1.5d": -1, "90": -1,
	} {
		var s span
		err := s.UnmarshalText([]byte(text))
		if want < 0 {
			if err == nil {
				t.Errorf("%q is %s", text, s)
			}
			continue
		}
		if err != nil || time.Duration(s) != want {
			t.Errorf("%q is %s, %v", text, time.Duration(s), err)
		}
		var again span
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s {
			t.Errorf("%q prints as %s, which is %s, %v", text, s, again, err)
		}
	}
}

func TestPlainTextCannotSteerATerminal(t *testing.T) {
	for text, want := range map[string]string{
		"grün, 緑, é": "grün, 緑, é", "\x1b[2J": `\u001b[2J`, "a\nb\tc": `a\u000ab\u0009c`, "\u202egnp": `\u202egnp`, "\x9b": `\ufffd`, "\u200f": `\u200f`,
	} {
		if got := plain(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestWordsForPeople(t *testing.T) {
	for name, tc := range map[string]struct{ got, want string }{
		"a flood tells how many more it stands for":  {asked(&verdictv1.DecisionRecord{Repeats: 8}), "(+8 like it)"},
		"a flood of an api tells the api too":        {asked(&verdictv1.DecisionRecord{Api: "orders", Method: "GET", Repeats: 2}), "GET orders (+2 like it)"},
		"an api without a route is not half a route": {keyWord("orders/", "route"), "orders/ (no route)"},
		"no api":                                 {keyWord("", "route"), "(no api)"},
		"a grant whose id ends in a slash stays": {keyWord("a/", "grant"), "a/"},
		"an hour has no minutes":                 {span(time.Hour).String(), "1h"},
		"half an hour has no seconds":            {span(30 * time.Minute).String(), "30m"},
		"a quarter of an hour more":              {span(75 * time.Minute).String(), "1h15m"},
		"seconds stay":                           {span(90 * time.Second).String(), "1m30s"},
		"ten seconds are not cut to one":         {span(10 * time.Second).String(), "10s"},
		"days":                                   {span(90 * spanDay).String(), "90d"},
		"one thing":                              {counted(1, "grant"), "1 grant"},
		"no thing":                               {counted(0, "grant"), "0 grants"},
		"an unset time that was to be sealed is bare": {(&seal.Finding{Kind: seal.NotSealed}).What(), ""},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %q, want %q", name, tc.got, tc.want)
		}
	}
}

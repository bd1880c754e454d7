package postgres

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

// Ten days of 20,000 records each, of which few are denied; 500 principals, clients and subjects, 100 apis and permissions,
// 50 tenants, 40 reasons, a revision a thousand records.
const manyDecisions = `
INSERT INTO decisions (at, id, allowed, reason, principal_kind, revision, took_us, detail, tenant_id, principal_id, client_id, token_id,
       api, route, template, method, host, raw_path, permissions, resource, grants, door, pep, request_id, grant_subjects, instance, epoch, seq)
SELECT timestamptz '2026-01-01Z' + n * interval '4.32 s', gen_random_uuid(), n % 100 <> 0, n % 40 + 1, 1, n / 1000, 1, '', 't' || n % 50,
       'p' || n % 500, 'c' || n % 500, '', 'api' || n % 100, 'r' || n % 200, '', '', '', '', ARRAY['perm' || n % 100], '', ARRAY['g' || n % 500],
       '', '', '', ARRAY['user:t/' || n % 500], 'i' || n % 2, 1, n / 2 + 1
FROM generate_series(0, 199999) AS n`

func TestEveryQueryOfRecordsPrunesPartitionsAndUsesAnIndex(t *testing.T) {
	ctx := t.Context()
	url := pgtest.New(t)
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, statement := range []string{
		"SELECT ensure_decision_partition(date '2026-01-01' + n) FROM generate_series(0, 9) AS n", manyDecisions, "VACUUM ANALYZE decisions",
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	noon := time.Date(2026, 1, 4, 12, 0, 0, 0, time.UTC)
	to := noon.Add(24 * time.Hour) // half of two days
	page := store.DecisionCursor{At: to.Add(-time.Minute), ID: noID}
	list := func(f store.DecisionFilter) pgx.StrictNamedArgs {
		f.From, f.To = noon, to
		return listArgs(f, page, 10)
	}
	hour := func(f store.DecisionFilter) pgx.StrictNamedArgs {
		f.From, f.To = noon, noon.Add(time.Hour)
		args := filterArgs(f)
		args["width"], args["limit"] = time.Minute.Microseconds(), 10
		return args
	}
	pieces := pieceArgs(store.TailCursor{}, store.DecisionFilter{},
		store.Pending{Source: store.Source{Instance: "i1"}, Epoch: 1, After: 35_000, Upto: 36_000, From: store.Day(noon), To: store.Day(noon).AddDate(0, 0, 1)}, 100)
	one := func(slack time.Duration) pgx.StrictNamedArgs {
		return pgx.StrictNamedArgs{"from": instant(noon.Add(-slack)), "to": instant(noon.Add(slack)), "id": noID}
	}
	type plan struct {
		query string
		args  pgx.StrictNamedArgs
		index string // part of its name
		days  int
		sorts bool
	}
	for name, tc := range map[string]plan{
		"list":                       {query: sqlListDecisions, args: list(store.DecisionFilter{}), index: "pkey", days: 2},
		"list allowed":               {query: sqlListDecisions, args: list(store.DecisionFilter{Allowed: new(true)}), index: "pkey", days: 2},
		"list denied":                {query: sqlListDecisions, args: list(store.DecisionFilter{Allowed: new(false)}), index: "at_id_idx", days: 2},
		"list of a principal":        {query: sqlListDecisions, args: list(store.DecisionFilter{PrincipalID: "p7"}), index: "principal_id_at_id_idx", days: 2},
		"list of a client":           {query: sqlListDecisions, args: list(store.DecisionFilter{ClientID: "c7"}), index: "client_id_at_id_idx", days: 2},
		"list of a reason":           {query: sqlListDecisions, args: list(store.DecisionFilter{Reason: 7}), index: "reason_at_id_idx", days: 2},
		"list of an api":             {query: sqlListDecisions, args: list(store.DecisionFilter{API: "api7"}), index: "api_at_id_idx", days: 2},
		"list of a route":            {query: sqlListDecisions, args: list(store.DecisionFilter{API: "api7", Route: "r7"}), index: "_at_id_idx", days: 2, sorts: true},
		"list of a tenant":           {query: sqlListDecisions, args: list(store.DecisionFilter{TenantID: "t7"}), index: "tenant_id_at_id_idx", days: 2},
		"list of a revision":         {query: sqlListDecisions, args: list(store.DecisionFilter{Revision: 75}), index: "revision_at_id_idx", days: 2},
		"list of a subject":          {query: sqlListDecisions, args: list(store.DecisionFilter{Subject: "user:t/7"}), index: "grant_subjects_permissions_idx", days: 2, sorts: true},
		"list of a permission":       {query: sqlListDecisions, args: list(store.DecisionFilter{Permission: "perm7", Subject: "user:t/7"}), index: "grant_subjects_permissions_idx", days: 2, sorts: true},
		"the denials of a principal": {query: sqlListDecisions, args: list(store.DecisionFilter{PrincipalID: "p7", Allowed: new(false)}), index: "_at_id_idx", days: 2, sorts: true},
		"one":                        {query: sqlGetDecision, args: one(15 * time.Second), index: "pkey", days: 1},
		"one that is off":            {query: sqlGetDecision, args: one(time.Hour), index: "pkey", days: 1},
		"tail":                       {query: sqlDecisionsOfSource, args: pieces, index: "instance_epoch_seq_idx", days: 1},
		"window":                     {query: sqlRecordsInWindow, args: windowArgs(noon, noon.Add(time.Hour), store.DecisionCursor{At: noon, ID: noID}, 1000), index: "pkey", days: 1},
		"sequences":                  {query: sqlSequences, args: pgx.StrictNamedArgs{"from": instant(noon), "to": instant(noon.Add(time.Hour))}, index: "", days: 1, sorts: true},
		"summary":                    {query: sqlSummarize, args: hour(store.DecisionFilter{}), index: "", days: 1, sorts: true},
		"summary by reason":          {query: sqlSummarizeByReason, args: hour(store.DecisionFilter{}), index: "", days: 1, sorts: true},
		"summary by route":           {query: sqlSummarizeByRoute, args: hour(store.DecisionFilter{}), index: "", days: 1, sorts: true},
		"summary by principal":       {query: sqlSummarizeByPrincipal, args: hour(store.DecisionFilter{}), index: "", days: 1, sorts: true},
		"summary by grant":           {query: sqlSummarizeByGrant, args: hour(store.DecisionFilter{}), index: "", days: 1, sorts: true},
	} {
		t.Run(name, func(t *testing.T) {
			text := explain(t, conn, tc.query, tc.args)
			if scanned := daysIn(text); scanned != tc.days {
				t.Errorf("reads %d days, not %d", scanned, tc.days)
			}
			if !regexp.MustCompile(`(using|on) decisions_\d{8}_\w*`+tc.index).MatchString(text) || strings.Contains(text, "Seq Scan on decisions") {
				t.Errorf("does not use an index %q", tc.index)
			}
			if !tc.sorts && strings.Contains(text, "Sort") {
				t.Error("sorts")
			}
			if t.Failed() {
				t.Log(text)
			}
		})
	}
}

// daysIn is how many different days a plan scans tables of.
func daysIn(plan string) int {
	days := make(map[string]struct{})
	for _, m := range regexp.MustCompile(`Scan .*on (decisions_\d{8})(?:\s|$)`).FindAllStringSubmatch(plan, -1) {
		days[m[1]] = struct{}{}
	}
	return len(days)
}

// explain plans the query as it is run: unprepared, with its arguments.
func explain(t *testing.T, conn *pgx.Conn, query string, args pgx.StrictNamedArgs) string {
	t.Helper()
	rows, err := conn.Query(t.Context(), "EXPLAIN "+query, asked, args)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

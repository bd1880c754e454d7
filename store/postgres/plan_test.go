package postgres

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

func TestDecisionsAreFoundByAnIndexWhateverTheFilter(t *testing.T) {
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	// 20,000 records over a day, of which few are denied, 50 principals, 100 apis, 50 tenants, 40 reasons.
	if _, err := conn.Exec(ctx, `
		INSERT INTO decisions
		SELECT timestamptz '2026-01-01' + n * interval '4 s', gen_random_uuid(), n % 100 <> 0, n % 40 + 1, 1, 1, 1, '', 't' || n % 50,
		       'p' || n % 50, '', '', 'api' || n % 100, '', '', '', '', '', '{}', '', '{}', '', '', ''
		FROM generate_series(1, 20000) AS n`); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "ANALYZE decisions"); err != nil {
		t.Fatal(err)
	}
	day := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		filter store.DecisionFilter
		index  string
	}{
		"none":               {store.DecisionFilter{}, "decisions_pkey"},
		"time":               {store.DecisionFilter{From: day, To: day.Add(time.Hour)}, "decisions_pkey"},
		"allowed":            {store.DecisionFilter{Allowed: new(true)}, "decisions_pkey"},
		"denied":             {store.DecisionFilter{Allowed: new(false)}, "decisions_denied"},
		"principal":          {store.DecisionFilter{PrincipalID: "p7"}, "decisions_principal"},
		"principal and time": {store.DecisionFilter{PrincipalID: "p7", From: day}, "decisions_principal"},
		"reason":             {store.DecisionFilter{Reason: 7}, "decisions_reason"},
		"api":                {store.DecisionFilter{API: "api7"}, "decisions_api"},
		"tenant":             {store.DecisionFilter{TenantID: "t7"}, "decisions_tenant"},
	} {
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			t.Run(name+"/"+mode, func(t *testing.T) {
				plan := explain(t, conn, mode, tc.filter)
				if !strings.Contains(plan, "using "+tc.index+" ") || strings.Contains(plan, "Sort") {
					t.Errorf("does not read %s in order:\n%s", tc.index, plan)
				}
			})
		}
	}
}

func explain(t *testing.T, conn *pgx.Conn, mode string, f store.DecisionFilter) string {
	t.Helper()
	ctx := t.Context()
	if _, err := conn.Exec(ctx, "SET plan_cache_mode = "+mode); err != nil {
		t.Fatal(err)
	}
	after := store.DecisionCursor{At: time.Date(2026, 1, 1, 23, 0, 0, 0, time.UTC), ID: noID}
	query, args := listDecisions(f, after, 10)
	numbered, values, err := args.RewriteQuery(ctx, conn, query, nil)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprint("p", time.Now().UnixNano())
	if _, err := conn.Prepare(ctx, name, numbered); err != nil {
		t.Fatal(err)
	}
	literals := make([]string, len(values))
	for i, v := range values {
		literals[i] = literal(t, v)
	}
	rows, err := conn.Query(ctx, "EXPLAIN EXECUTE "+name+"("+strings.Join(literals, ", ")+")", pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// literal is v as SQL text, for EXECUTE takes no parameters.
func literal(t *testing.T, v any) string {
	t.Helper()
	switch v := v.(type) {
	case *bool:
		if v == nil {
			return "NULL"
		}
		return fmt.Sprint(*v)
	case int, int16:
		return fmt.Sprint(v)
	case string:
		return "'" + v + "'"
	case time.Time:
		return "'" + v.Format(time.RFC3339Nano) + "'"
	case pgtype.Timestamptz:
		if v.InfinityModifier != pgtype.Finite {
			return "'" + v.InfinityModifier.String() + "'"
		}
		return "'" + v.Time.Format(time.RFC3339Nano) + "'"
	}
	t.Fatalf("no literal of %T", v)
	return ""
}

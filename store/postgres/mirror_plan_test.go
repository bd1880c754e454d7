package postgres

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

// A lookup reads memberships by their members, whatever the planner knows of the tables.
func TestMirroredGroupsAreFoundByIndex(t *testing.T) {
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	plan := func(mode string) string {
		numbered, values, err := pgx.StrictNamedArgs{"tenant": store.GUID{1}.String(), "principal": store.GUID{2}.String()}.RewriteQuery(ctx, conn, sqlMirrorGroups, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range []string{"SET plan_cache_mode = " + mode, "DEALLOCATE ALL"} {
			if _, err := conn.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := conn.Exec(ctx, "PREPARE lookup AS "+numbered, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
		execute := "EXPLAIN EXECUTE lookup('" + values[0].(string) + "', '" + values[1].(string) + "')"
		rows, err := conn.Query(ctx, execute, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(lines, "\n")
	}
	steps := []struct{ name, sql string }{
		{"empty", "SELECT"},
		{"filled", `
			INSERT INTO mirror_members (tenant, member_id, group_id, kind)
			SELECT '01000000-0000-0000-0000-000000000000', md5('m' || n % 5000)::uuid, md5('g' || n % 997)::uuid, 1
			FROM generate_series(1, 50000) AS n
			ON CONFLICT DO NOTHING`},
		{"analyzed", "ANALYZE"},
	}
	for _, step := range steps {
		if _, err := conn.Exec(ctx, step.sql); err != nil {
			t.Fatal(err)
		}
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			t.Run(step.name+"/"+mode, func(t *testing.T) {
				got := plan(mode)
				if strings.Count(got, "mirror_members_pkey")+strings.Count(got, "mirror_members_nested") != 2 || strings.Contains(got, "Seq Scan on mirror_members") ||
					strings.Contains(got, "mirror_members_group") || strings.Contains(got, "Merge Join") || strings.Contains(got, "Hash Join") {
					t.Errorf("reads more than the memberships of who was reached:\n%s", got)
				}
			})
		}
	}
}

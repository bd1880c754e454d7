package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/verdict-authz/verdict/store"
)

const columnsDecision = `at, id::text, allowed, reason, principal_kind, revision, took_us, detail, tenant_id, principal_id,
       client_id, token_id, api, route, template, method, host, raw_path, permissions, resource, grants, door, pep, request_id,
       subjects, scopes, missing, grant_subjects, source_ip, instance, epoch, seq, leaf,
       agent_parent, agent_facets, repeats`

// asked is the mode of queries over records: the database sees the values when it plans, which decides between indexes and
// rules out partitions. A plan for any value would serve none.
const asked = pgx.QueryExecModeExec

// matches is the filter of all queries over records; what was not asked for folds away.
const matches = `at >= @from AND at < @to
  AND (@tenant_id::text = '' OR tenant_id = @tenant_id)
  AND (@principal_id::text = '' OR principal_id = @principal_id)
  AND (@client_id::text = '' OR client_id = @client_id)
  AND (@subject::text = '' OR grant_subjects @> ARRAY[@subject::text])
  AND (@permission::text = '' OR permissions @> ARRAY[@permission::text])
  AND (@allowed::boolean IS NULL OR allowed = @allowed::boolean)
  AND (@reason::smallint = 0 OR reason = @reason)
  AND (@api::text = '' OR api = @api)
  AND (@route::text = '' OR route = @route)
  AND (@revision::bigint = 0 OR revision = @revision)`

// The order is by decisions.id, the column: a bare id would be the text in the select list, which no index has. The bound on
// at alone says what the one on the pair implies, since only it rules out partitions.
const sqlListDecisions = `
SELECT ` + columnsDecision + `
FROM decisions
WHERE ` + matches + `
  AND at <= @after_at::timestamptz AND (at, id) < (@after_at::timestamptz, @after_id::text::uuid)
ORDER BY decisions.at DESC, decisions.id DESC
LIMIT @limit::bigint`

const sqlGetDecision = `
SELECT ` + columnsDecision + `
FROM decisions
WHERE at >= @from::timestamptz AND at < @to::timestamptz AND id = @id::text::uuid
LIMIT 1`

// noID is before all others.
const noID = "00000000-0000-0000-0000-000000000000"

func scanDecision(r pgx.Row) (store.Decision, error) {
	d, err := scanPlaced(r)
	if err != nil {
		return d, err
	}
	return d.Canonical()
}

// scanPlaced leaves Epoch and Seq as they are kept: without an instance they are the lane and the place in it.
func scanPlaced(r pgx.Row) (d store.Decision, err error) {
	var took int64
	err = r.Scan(&d.At, &d.ID, &d.Allowed, &d.Reason, &d.PrincipalKind, &d.Revision, &took, &d.Detail, &d.TenantID, &d.PrincipalID,
		&d.ClientID, &d.TokenID, &d.API, &d.Route, &d.Template, &d.Method, &d.Host, &d.RawPath, &d.Permissions,
		&d.Resource, &d.Grants, &d.Door, &d.PEP, &d.RequestID, &d.Subjects, &d.Scopes, &d.Missing, &d.GrantSubjects, &d.SourceIP,
		&d.Instance, &d.Epoch, &d.Seq, &d.Leaf, &d.AgentParent, &d.AgentFacets, &d.Repeats)
	d.Took = time.Duration(took) * time.Microsecond
	return d, err
}

// ListDecisions implements store.DecisionReader.
func (s *Store) ListDecisions(ctx context.Context, f store.DecisionFilter, after store.DecisionCursor, limit int) ([]store.Decision, error) {
	l, err := collect(ctx, s.pool, scanDecision, sqlListDecisions, listArgs(f, after, limit), asked)
	return l, s.asStoreError("list decisions", err)
}

func listArgs(f store.DecisionFilter, after store.DecisionCursor, limit int) pgx.StrictNamedArgs {
	args := filterArgs(f)
	args["limit"] = max(limit, 0)
	args["after_at"], args["after_id"] = pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true}, noID
	if after != (store.DecisionCursor{}) {
		args["after_at"], args["after_id"] = instant(after.At), after.ID
	}
	return args
}

// filterArgs are the arguments of matches.
func filterArgs(f store.DecisionFilter) pgx.StrictNamedArgs {
	return pgx.StrictNamedArgs{
		"from": bound(f.From, pgtype.NegativeInfinity), "to": bound(f.To, pgtype.Infinity),
		"tenant_id": f.TenantID, "principal_id": f.PrincipalID, "client_id": f.ClientID, "subject": f.Subject, "permission": f.Permission,
		"allowed": f.Allowed, "reason": f.Reason, "api": f.API, "route": f.Route, "revision": number(f.Revision),
	}
}

// GetDecision implements store.DecisionReader.
func (s *Store) GetDecision(ctx context.Context, id string) (d store.Decision, err error) {
	doing := "get decision " + id
	windows, err := store.IDWindows(id)
	if err != nil {
		return d, fmt.Errorf("%s: %w", doing, err)
	}
	for _, w := range windows {
		found, err := collect(ctx, s.pool, scanDecision, sqlGetDecision, pgx.StrictNamedArgs{"from": instant(w[0]), "to": instant(w[1]), "id": id}, asked)
		switch {
		case err != nil:
			return d, s.asStoreError(doing, err)
		case len(found) > 0:
			return found[0], nil
		}
	}
	return d, fmt.Errorf("%s: %w", doing, store.ErrNotFound)
}

// instant is t as an argument of its own type, whichever mode the statement runs in.
func instant(t time.Time) pgtype.Timestamptz {
	return pgtype.Timestamptz{Time: store.Instant(t), Valid: true}
}

// bound is t, or none. Bounds may be finer than what is kept: the first whole microsecond at or after t says the same.
func bound(t time.Time, none pgtype.InfinityModifier) pgtype.Timestamptz {
	if t.IsZero() {
		return pgtype.Timestamptz{InfinityModifier: none, Valid: true}
	}
	return instant(t.Add(time.Microsecond - 1))
}

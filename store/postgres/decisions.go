package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/verdict-authz/verdict/store"
)

const columnsDecision = `at, id::text, allowed, reason, principal_kind, revision, took_us, detail, tenant_id, principal_id,
       client_id, token_id, api, route, template, method, host, raw_path, permissions, resource, grants, door, pep, request_id,
       agent_parent, agent_facets`

// One array a column. Lists are array literals in text, since arrays of arrays would have to be of one length. Without a
// conflict target the right to INSERT is enough, and the table has no other constraint that two records could meet in.
const sqlInsertDecisions = `
INSERT INTO decisions (at, id, allowed, reason, principal_kind, revision, took_us, detail, tenant_id, principal_id,
       client_id, token_id, api, route, template, method, host, raw_path, permissions, resource, grants, door, pep, request_id,
       agent_parent, agent_facets)
SELECT at, id::uuid, allowed, reason, principal_kind, revision, took_us, detail, tenant_id, principal_id,
       client_id, token_id, api, route, template, method, host, raw_path, permissions::text[], resource, grants::text[], door, pep, request_id,
       agent_parent, agent_facets
FROM unnest(@at::timestamptz[], @id::text[], @allowed::boolean[], @reason::smallint[], @principal_kind::smallint[],
       @revision::bigint[], @took_us::bigint[], @detail::text[], @tenant_id::text[], @principal_id::text[],
       @client_id::text[], @token_id::text[], @api::text[], @route::text[], @template::text[], @method::text[],
       @host::text[], @raw_path::text[], @permissions::text[], @resource::text[], @grants::text[], @door::text[],
       @pep::text[], @request_id::text[], @agent_parent::text[], @agent_facets::text[])
       AS d (at, id, allowed, reason, principal_kind, revision, took_us, detail, tenant_id, principal_id,
       client_id, token_id, api, route, template, method, host, raw_path, permissions, resource, grants, door, pep, request_id,
       agent_parent, agent_facets)
ON CONFLICT DO NOTHING`

// Each list begins with what its index begins with; the other filters look at the rows that the index gives. The order is by
// decisions.id, the column: a bare id would be the text in the select list, which no index has.
const (
	restOfDecisionFilter = `
  AND at >= @from AND at < @to AND (at, id) < (@after_at::timestamptz, @after_id::text::uuid)
  AND (@tenant_id::text = '' OR tenant_id = @tenant_id)
  AND (@principal_id::text = '' OR principal_id = @principal_id)
  AND (@allowed::boolean IS NULL OR allowed = @allowed)
  AND (@reason::smallint = 0 OR reason = @reason)
  AND (@api::text = '' OR api = @api)
ORDER BY decisions.at DESC, decisions.id DESC
LIMIT @limit`

	sqlListDecisions = `
SELECT ` + columnsDecision + `
FROM decisions
WHERE true` + restOfDecisionFilter

	sqlListDecisionsOfPrincipal = `
SELECT ` + columnsDecision + `
FROM decisions
WHERE principal_id <> '' AND principal_id = @principal_id` + restOfDecisionFilter

	sqlListDecisionsOfReason = `
SELECT ` + columnsDecision + `
FROM decisions
WHERE reason = @reason` + restOfDecisionFilter

	sqlListDecisionsOfAPI = `
SELECT ` + columnsDecision + `
FROM decisions
WHERE api = @api` + restOfDecisionFilter

	sqlListDecisionsOfTenant = `
SELECT ` + columnsDecision + `
FROM decisions
WHERE tenant_id <> '' AND tenant_id = @tenant_id` + restOfDecisionFilter

	sqlListDenied = `
SELECT ` + columnsDecision + `
FROM decisions
WHERE NOT allowed` + restOfDecisionFilter
)

// decisionChunk is how many records go into one statement.
const decisionChunk = 5000

// noID is before all others.
const noID = "00000000-0000-0000-0000-000000000000"

// AppendDecisions implements store.DecisionAppender. The right to INSERT is all it needs.
func (s *Store) AppendDecisions(ctx context.Context, ds []store.Decision) error {
	if len(ds) == 0 {
		return nil
	}
	var batches []pgx.StrictNamedArgs
	for rest := ds; len(rest) > 0; {
		n := min(len(rest), decisionChunk)
		args, err := columnsOf(rest[:n])
		if err != nil {
			return s.asStoreError("append decisions", err)
		}
		batches, rest = append(batches, args), rest[n:]
	}
	return s.writing(ctx, "append decisions", func(tx pgx.Tx) error {
		for _, args := range batches {
			if _, err := tx.Exec(ctx, sqlInsertDecisions, args); err != nil {
				return err
			}
		}
		return nil
	})
}

// columnsOf turns records into one array a column.
func columnsOf(ds []store.Decision) (pgx.StrictNamedArgs, error) {
	n := len(ds)
	at, allowed := make([]time.Time, n), make([]bool, n)
	reason, kind := make([]int16, n), make([]int16, n)
	revision, took := make([]int64, n), make([]int64, n)
	args := pgx.StrictNamedArgs{"at": at, "allowed": allowed, "reason": reason, "principal_kind": kind, "revision": revision, "took_us": took}
	text := func(name string) []string {
		column := make([]string, n)
		args[name] = column
		return column
	}
	id, detail, tenant, principal, client, token := text("id"), text("detail"), text("tenant_id"), text("principal_id"), text("client_id"), text("token_id")
	api, route, template, method, host, path := text("api"), text("route"), text("template"), text("method"), text("host"), text("raw_path")
	permissions, resource, grants, door, pep, request := text("permissions"), text("resource"), text("grants"), text("door"), text("pep"), text("request_id")
	parent, facets := text("agent_parent"), text("agent_facets")
	for i := range ds {
		d, err := ds[i].Canonical()
		if err != nil {
			return nil, err
		}
		at[i], allowed[i], reason[i], kind[i], revision[i], took[i] = d.At, d.Allowed, d.Reason, d.PrincipalKind, number(d.Revision), d.Took.Microseconds()
		id[i], detail[i], tenant[i], principal[i], client[i], token[i] = d.ID, d.Detail, d.TenantID, d.PrincipalID, d.ClientID, d.TokenID
		api[i], route[i], template[i], method[i], host[i], path[i] = d.API, d.Route, d.Template, d.Method, d.Host, d.RawPath
		permissions[i], resource[i], grants[i] = arrayLiteral(d.Permissions), d.Resource, arrayLiteral(d.Grants)
		door[i], pep[i], request[i], parent[i], facets[i] = d.Door, d.PEP, d.RequestID, d.AgentParent, d.AgentFacets
	}
	return args, nil
}

// arrayLiteral is l as Postgres reads a text[]: {"a","b"}, with quotes and backslashes escaped.
func arrayLiteral(l []string) string {
	if len(l) == 0 {
		return "{}"
	}
	var b strings.Builder
	b.WriteByte('{')
	for i, s := range l {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		for j := range len(s) {
			if s[j] == '"' || s[j] == '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(s[j])
		}
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}

func scanDecision(r pgx.Row) (d store.Decision, err error) {
	var took int64
	if err = r.Scan(&d.At, &d.ID, &d.Allowed, &d.Reason, &d.PrincipalKind, &d.Revision, &took, &d.Detail, &d.TenantID, &d.PrincipalID,
		&d.ClientID, &d.TokenID, &d.API, &d.Route, &d.Template, &d.Method, &d.Host, &d.RawPath, &d.Permissions,
		&d.Resource, &d.Grants, &d.Door, &d.PEP, &d.RequestID, &d.AgentParent, &d.AgentFacets); err != nil {
		return d, err
	}
	d.Took = time.Duration(took) * time.Microsecond
	return d.Canonical()
}

// ListDecisions implements store.DecisionReader.
func (s *Store) ListDecisions(ctx context.Context, f store.DecisionFilter, after store.DecisionCursor, limit int) ([]store.Decision, error) {
	query, args := listDecisions(f, after, limit)
	l, err := collect(ctx, s.pool, scanDecision, query, args)
	return l, s.asStoreError("list decisions", err)
}

func listDecisions(f store.DecisionFilter, after store.DecisionCursor, limit int) (query string, args pgx.StrictNamedArgs) {
	// The narrowest filter comes first.
	query = sqlListDecisions
	switch {
	case f.PrincipalID != "":
		query = sqlListDecisionsOfPrincipal
	case f.Reason != 0:
		query = sqlListDecisionsOfReason
	case f.Allowed != nil && !*f.Allowed:
		query = sqlListDenied
	case f.API != "":
		query = sqlListDecisionsOfAPI
	case f.TenantID != "":
		query = sqlListDecisionsOfTenant
	}
	args = pgx.StrictNamedArgs{
		"from": bound(f.From, pgtype.NegativeInfinity), "to": bound(f.To, pgtype.Infinity),
		"after_at": pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true}, "after_id": noID,
		"tenant_id": f.TenantID, "principal_id": f.PrincipalID, "allowed": f.Allowed, "reason": f.Reason, "api": f.API,
		"limit": max(limit, 0),
	}
	if after != (store.DecisionCursor{}) {
		args["after_at"], args["after_id"] = store.Instant(after.At), after.ID
	}
	return query, args
}

// bound is t, or none. Bounds may be finer than what is kept: the first whole microsecond at or after t says the same.
func bound(t time.Time, none pgtype.InfinityModifier) pgtype.Timestamptz {
	if t.IsZero() {
		return pgtype.Timestamptz{InfinityModifier: none, Valid: true}
	}
	return pgtype.Timestamptz{Time: store.Instant(t.Add(time.Microsecond - 1)), Valid: true}
}

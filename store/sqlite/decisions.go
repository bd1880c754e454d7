package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/verdict-authz/verdict/store"
)

const columnsDecision = `at, id, allowed, reason, principal_kind, revision, took_us, detail, tenant_id, principal_id,
       client_id, token_id, api, route, template, method, host, raw_path, permissions, resource, grants, door, pep, request_id,
       subjects, scopes, missing, grant_subjects, source_ip, instance, epoch, seq, leaf,
       agent_parent, agent_facets, repeats`

// Each list begins with what its index begins with; the other filters look at the rows that the index gives.
const (
	matches = `at >= @from AND at < @to
  AND (@tenant_id = '' OR tenant_id = @tenant_id)
  AND (@principal_id = '' OR principal_id = @principal_id)
  AND (@client_id = '' OR client_id = @client_id)
  AND (@subject = '' OR EXISTS (SELECT 1 FROM json_each(grant_subjects) WHERE value = @subject))
  AND (@permission = '' OR EXISTS (SELECT 1 FROM json_each(permissions) WHERE value = @permission))
  AND (@allowed IS NULL OR allowed = @allowed)
  AND (@reason = 0 OR reason = @reason)
  AND (@api = '' OR api = @api)
  AND (@route = '' OR route = @route)
  AND (@revision = 0 OR revision = @revision)`

	page = ` AND (at, id) < (@after_at, @after_id)
ORDER BY at DESC, id DESC
LIMIT @limit`

	sqlListDecisions = `
SELECT ` + columnsDecision + `
FROM decisions
WHERE ` + matches + page

	sqlListDecisionsOfPrincipal = `
SELECT ` + columnsDecision + `
FROM decisions INDEXED BY decisions_principal
WHERE principal_id = @principal_id AND ` + matches + page

	sqlListDecisionsOfClient = `
SELECT ` + columnsDecision + `
FROM decisions INDEXED BY decisions_client
WHERE client_id = @client_id AND ` + matches + page

	sqlListDecisionsOfReason = `
SELECT ` + columnsDecision + `
FROM decisions INDEXED BY decisions_reason
WHERE reason = @reason AND ` + matches + page

	sqlListDecisionsOfAPI = `
SELECT ` + columnsDecision + `
FROM decisions INDEXED BY decisions_api
WHERE api = @api AND ` + matches + page

	sqlListDecisionsOfTenant = `
SELECT ` + columnsDecision + `
FROM decisions INDEXED BY decisions_tenant
WHERE tenant_id = @tenant_id AND ` + matches + page

	sqlListDenied = `
SELECT ` + columnsDecision + `
FROM decisions INDEXED BY decisions_denied
WHERE allowed = 0 AND ` + matches + page
)

const sqlGetDecision = `
SELECT ` + columnsDecision + `
FROM decisions
WHERE at >= @from AND at < @to AND id = @id
LIMIT 1`

func scanDecision(r scanner) (store.Decision, error) {
	d, err := scanPlaced(r)
	if err != nil {
		return d, err
	}
	return d.Canonical()
}

// scanPlaced leaves Epoch and Seq as they are kept: without an instance they are the lane and the place in it.
func scanPlaced(r scanner) (d store.Decision, err error) {
	var at, took int64
	err = r.Scan(&at, &d.ID, &d.Allowed, &d.Reason, &d.PrincipalKind, &d.Revision, &took, &d.Detail, &d.TenantID, &d.PrincipalID,
		&d.ClientID, &d.TokenID, &d.API, &d.Route, &d.Template, &d.Method, &d.Host, &d.RawPath, listInto(&d.Permissions),
		&d.Resource, listInto(&d.Grants), &d.Door, &d.PEP, &d.RequestID, listInto(&d.Subjects), listInto(&d.Scopes),
		listInto(&d.Missing), listInto(&d.GrantSubjects), &d.SourceIP, &d.Instance, &d.Epoch, &d.Seq, &d.Leaf,
		&d.AgentParent, &d.AgentFacets, &d.Repeats)
	d.At, d.Took = time.UnixMicro(at).UTC(), time.Duration(took)*time.Microsecond
	return d, err
}

// ListDecisions implements store.DecisionReader.
func (s *Store) ListDecisions(ctx context.Context, f store.DecisionFilter, after store.DecisionCursor, limit int) ([]store.Decision, error) {
	// The narrowest filter comes first.
	query := sqlListDecisions
	switch {
	case f.PrincipalID != "":
		query = sqlListDecisionsOfPrincipal
	case f.ClientID != "":
		query = sqlListDecisionsOfClient
	case f.Reason != 0:
		query = sqlListDecisionsOfReason
	case f.Allowed != nil && !*f.Allowed:
		query = sqlListDenied
	case f.API != "":
		query = sqlListDecisionsOfAPI
	case f.TenantID != "":
		query = sqlListDecisionsOfTenant
	}
	afterAt, afterID := int64(math.MaxInt64), ""
	if after != (store.DecisionCursor{}) {
		afterAt, afterID = after.At.UnixMicro(), after.ID
	}
	l, err := collect(ctx, s.read, scanDecision, query, append(filterArgs(f),
		sql.Named("after_at", afterAt), sql.Named("after_id", afterID), sql.Named("limit", max(limit, 0)))...)
	if err != nil {
		return nil, s.asStoreError(ctx, "list decisions", err)
	}
	return l, nil
}

// filterArgs are the arguments of matches.
func filterArgs(f store.DecisionFilter) []any {
	return append(windowArgs(f.From, f.To),
		sql.Named("tenant_id", f.TenantID), sql.Named("principal_id", f.PrincipalID), sql.Named("client_id", f.ClientID),
		sql.Named("subject", f.Subject), sql.Named("permission", f.Permission), sql.Named("allowed", f.Allowed),
		sql.Named("reason", f.Reason), sql.Named("api", f.API), sql.Named("route", f.Route), sql.Named("revision", number(f.Revision)))
}

// windowArgs are the bounds [from, to); zero instants do not bound.
func windowArgs(from, to time.Time) []any {
	first, end := int64(math.MinInt64), int64(math.MaxInt64)
	if !from.IsZero() {
		first = ceilMicro(from)
	}
	if !to.IsZero() {
		end = ceilMicro(to)
	}
	return []any{sql.Named("from", first), sql.Named("to", end)}
}

// GetDecision implements store.DecisionReader.
func (s *Store) GetDecision(ctx context.Context, id string) (d store.Decision, err error) {
	doing := "get decision " + id
	windows, err := store.IDWindows(id)
	if err != nil {
		return d, fmt.Errorf("%s: %w", doing, err)
	}
	for _, w := range windows {
		d, err = scanDecision(s.read.QueryRowContext(ctx, sqlGetDecision, append(windowArgs(w[0], w[1]), sql.Named("id", id))...))
		if !errors.Is(err, sql.ErrNoRows) {
			break
		}
	}
	if err != nil {
		return store.Decision{}, s.asStoreError(ctx, doing, err)
	}
	return d, nil
}

// ceilMicro is the first whole microsecond at or after t: bounds may be finer than what is kept.
func ceilMicro(t time.Time) int64 {
	us := t.UnixMicro()
	if t.Nanosecond()%1000 != 0 {
		us++
	}
	return us
}

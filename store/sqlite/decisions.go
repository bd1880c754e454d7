package sqlite

import (
	"context"
	"database/sql"
	"math"
	"time"

	"github.com/verdict-authz/verdict/store"
)

const columnsDecision = `at, id, allowed, reason, principal_kind, revision, took_us, detail, tenant_id, principal_id,
       client_id, token_id, api, route, template, method, host, raw_path, permissions, resource, grants, door, pep, request_id,
       agent_parent, agent_facets`

const sqlInsertDecision = `
INSERT INTO decisions (at, id, allowed, reason, principal_kind, revision, took_us, detail, tenant_id, principal_id,
       client_id, token_id, api, route, template, method, host, raw_path, permissions, resource, grants, door, pep, request_id,
       agent_parent, agent_facets)
VALUES (@at, @id, @allowed, @reason, @principal_kind, @revision, @took_us, @detail, @tenant_id, @principal_id,
       @client_id, @token_id, @api, @route, @template, @method, @host, @raw_path, @permissions, @resource, @grants, @door, @pep, @request_id,
       @agent_parent, @agent_facets)
ON CONFLICT (at, id) DO NOTHING`

// Each list begins with what its index begins with; the other filters look at the rows that the index gives.
const (
	restOfDecisionFilter = `
  AND (@tenant_id = '' OR tenant_id = @tenant_id)
  AND (@principal_id = '' OR principal_id = @principal_id)
  AND (@allowed IS NULL OR allowed = @allowed)
  AND (@reason = 0 OR reason = @reason)
  AND (@api = '' OR api = @api)
ORDER BY at DESC, id DESC
LIMIT @limit`

	windowOfDecisions = `at >= @from AND at < @to AND (at, id) < (@after_at, @after_id)`

	sqlListDecisions = `
SELECT ` + columnsDecision + `
FROM decisions
WHERE ` + windowOfDecisions + restOfDecisionFilter

	sqlListDecisionsOfPrincipal = `
SELECT ` + columnsDecision + `
FROM decisions INDEXED BY decisions_principal
WHERE principal_id = @principal_id AND ` + windowOfDecisions + restOfDecisionFilter

	sqlListDecisionsOfReason = `
SELECT ` + columnsDecision + `
FROM decisions INDEXED BY decisions_reason
WHERE reason = @reason AND ` + windowOfDecisions + restOfDecisionFilter

	sqlListDecisionsOfAPI = `
SELECT ` + columnsDecision + `
FROM decisions INDEXED BY decisions_api
WHERE api = @api AND ` + windowOfDecisions + restOfDecisionFilter

	sqlListDecisionsOfTenant = `
SELECT ` + columnsDecision + `
FROM decisions INDEXED BY decisions_tenant
WHERE tenant_id = @tenant_id AND ` + windowOfDecisions + restOfDecisionFilter

	sqlListDenied = `
SELECT ` + columnsDecision + `
FROM decisions INDEXED BY decisions_denied
WHERE allowed = 0 AND ` + windowOfDecisions + restOfDecisionFilter
)

// AppendDecisions implements store.DecisionAppender.
func (s *Store) AppendDecisions(ctx context.Context, ds []store.Decision) error {
	if len(ds) == 0 {
		return nil
	}
	return s.writing(ctx, "append decisions", func(tx *sql.Tx) error {
		st, err := tx.PrepareContext(ctx, sqlInsertDecision)
		if err != nil {
			return err
		}
		defer st.Close()
		for i := range ds {
			d, err := ds[i].Canonical()
			if err != nil {
				return err
			}
			if _, err := st.ExecContext(ctx, decisionArgs(d)...); err != nil {
				return err
			}
		}
		return nil
	})
}

func decisionArgs(d store.Decision) []any {
	return []any{
		sql.Named("at", d.At.UnixMicro()), sql.Named("id", d.ID), sql.Named("allowed", d.Allowed), sql.Named("reason", d.Reason),
		sql.Named("principal_kind", d.PrincipalKind), sql.Named("revision", number(d.Revision)),
		sql.Named("took_us", d.Took.Microseconds()), sql.Named("detail", d.Detail), sql.Named("tenant_id", d.TenantID),
		sql.Named("principal_id", d.PrincipalID), sql.Named("client_id", d.ClientID), sql.Named("token_id", d.TokenID),
		sql.Named("api", d.API), sql.Named("route", d.Route), sql.Named("template", d.Template), sql.Named("method", d.Method),
		sql.Named("host", d.Host), sql.Named("raw_path", d.RawPath), sql.Named("permissions", jsonOf(d.Permissions)),
		sql.Named("resource", d.Resource), sql.Named("grants", jsonOf(d.Grants)), sql.Named("door", d.Door),
		sql.Named("pep", d.PEP), sql.Named("request_id", d.RequestID), sql.Named("agent_parent", d.AgentParent),
		sql.Named("agent_facets", d.AgentFacets),
	}
}

func scanDecision(r scanner) (d store.Decision, err error) {
	var at, took int64
	err = r.Scan(&at, &d.ID, &d.Allowed, &d.Reason, &d.PrincipalKind, &d.Revision, &took, &d.Detail, &d.TenantID, &d.PrincipalID,
		&d.ClientID, &d.TokenID, &d.API, &d.Route, &d.Template, &d.Method, &d.Host, &d.RawPath, listInto(&d.Permissions),
		&d.Resource, listInto(&d.Grants), &d.Door, &d.PEP, &d.RequestID, &d.AgentParent, &d.AgentFacets)
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
	case f.Reason != 0:
		query = sqlListDecisionsOfReason
	case f.Allowed != nil && !*f.Allowed:
		query = sqlListDenied
	case f.API != "":
		query = sqlListDecisionsOfAPI
	case f.TenantID != "":
		query = sqlListDecisionsOfTenant
	}
	from, to, afterAt, afterID := int64(math.MinInt64), int64(math.MaxInt64), int64(math.MaxInt64), ""
	if !f.From.IsZero() {
		from = ceilMicro(f.From)
	}
	if !f.To.IsZero() {
		to = ceilMicro(f.To)
	}
	if after != (store.DecisionCursor{}) {
		afterAt, afterID = after.At.UnixMicro(), after.ID
	}
	l, err := collect(ctx, s.read, scanDecision, query,
		sql.Named("from", from), sql.Named("to", to), sql.Named("after_at", afterAt), sql.Named("after_id", afterID),
		sql.Named("tenant_id", f.TenantID), sql.Named("principal_id", f.PrincipalID), sql.Named("allowed", f.Allowed),
		sql.Named("reason", f.Reason), sql.Named("api", f.API), sql.Named("limit", max(limit, 0)))
	if err != nil {
		return nil, s.asStoreError(ctx, "list decisions", err)
	}
	return l, nil
}

// ceilMicro is the first whole microsecond at or after t: bounds may be finer than what is kept.
func ceilMicro(t time.Time) int64 {
	us := t.UnixMicro()
	if t.Nanosecond()%1000 != 0 {
		us++
	}
	return us
}

package trail

import (
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/admin/page"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

// narrowing is what requests narrow records with: ListDecisionsRequest and DecisionFilter.
type narrowing interface {
	GetFrom() *timestamppb.Timestamp
	GetTo() *timestamppb.Timestamp
	GetTenantId() string
	GetPrincipalId() string
	GetClientId() string
	GetSubject() string
	GetPermission() string
	GetApi() string
	GetRoute() string
	GetEffect() verdictv1.Effect
	GetReason() verdictv1.Reason
	GetRevision() uint64
}

// filterOf reads n, which stands at path in the request, with a dot at its end or empty.
func filterOf(n narrowing, path string, vs *[]status.Violation) store.DecisionFilter {
	f := store.DecisionFilter{
		TenantID: n.GetTenantId(), PrincipalID: n.GetPrincipalId(), ClientID: n.GetClientId(), Subject: n.GetSubject(), Permission: n.GetPermission(),
		API: n.GetApi(), Route: n.GetRoute(), Revision: n.GetRevision(),
		Reason: int16(n.GetReason()), //nolint:gosec // the closed list ends far below
	}
	f.From, f.To = bounds(n.GetFrom(), n.GetTo(), path, vs)
	if e := n.GetEffect(); e != verdictv1.Effect_EFFECT_UNSPECIFIED {
		allowed := e == verdictv1.Effect_EFFECT_ALLOW
		f.Allowed = &allowed
	}
	return f
}

// bounds are the two ends of a time; zero for none.
func bounds(from, to *timestamppb.Timestamp, path string, vs *[]status.Violation) (time.Time, time.Time) {
	begin, end := instant(from, path+"from", vs), instant(to, path+"to", vs)
	if !begin.IsZero() && !end.IsZero() && !begin.Before(end) {
		*vs = append(*vs, status.Violation{Field: path + "to", Text: "not after from, so no record could match"})
	}
	return begin, end
}

// listOf names the list that f makes, for its page tokens.
func listOf(name string, f store.DecisionFilter) page.List {
	effect := ""
	if f.Allowed != nil {
		effect = strconv.FormatBool(*f.Allowed)
	}
	return page.List{
		name, f.From.Format(time.RFC3339Nano), f.To.Format(time.RFC3339Nano), f.TenantID, f.PrincipalID, effect, strconv.Itoa(int(f.Reason)), f.API,
		f.ClientID, f.Subject, f.Permission, f.Route, strconv.FormatUint(f.Revision, 10),
	}
}

// instant is t in whole microseconds, the zero time for none. The first instant of the year 1 is the zero time and so cannot
// be told from none.
func instant(t *timestamppb.Timestamp, path string, vs *[]status.Violation) time.Time {
	if t == nil {
		return time.Time{}
	}
	at := store.Instant(t.AsTime())
	if t.CheckValid() != nil || at.IsZero() {
		*vs = append(*vs, status.Violation{Field: path, Text: "not an instant after 0001-01-01T00:00:00Z and before 10000-01-01T00:00:00Z; " +
			"write RFC 3339 in UTC, such as 2027-01-31T00:00:00Z, or leave it out"})
		return time.Time{}
	}
	return at
}

// position is an instant in a page token.
func position(t time.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }

// positioned is what position made, or a bad token.
func positioned(text string) (time.Time, error) {
	micros, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, page.BadToken()
	}
	return time.UnixMicro(micros).UTC(), nil
}

func invalidIf(vs []status.Violation) error {
	if len(vs) == 0 {
		return nil
	}
	return status.Invalid(vs...)
}

// unbounded is a filter whose bounds are not looked at.
type unbounded struct{ *verdictv1.DecisionFilter }

// GetFrom is none.
func (unbounded) GetFrom() *timestamppb.Timestamp { return nil }

// GetTo is none.
func (unbounded) GetTo() *timestamppb.Timestamp { return nil }

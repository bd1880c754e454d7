package policy

import (
	"fmt"
	"strings"
	"time"
)

// String is the trace for people, a line for each thing that was looked at.
func (t *Trace) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", t.Effect, t.Reason)
	if t.Route == "" {
		fmt.Fprintf(&b, "api %s, permission %s\n", t.API, clip(t.Asked))
	} else {
		fmt.Fprintf(&b, "api %s, route %s: %s\n", t.API, t.Route, t.Requirement)
	}
	for i := range t.Permissions {
		t.Permissions[i].write(&b)
	}
	if t.Condition != ConditionNone {
		fmt.Fprintf(&b, "condition of the route: %s\n", t.Condition)
	}
	if !t.Until.IsZero() {
		fmt.Fprintf(&b, "may change by time alone at %s\n", instant(t.Until))
	}
	return b.String()
}

func (p *PermissionTrace) write(b *strings.Builder) {
	if p.Reason == AllowedByGrant {
		fmt.Fprintf(b, "permission %s: passes\n", p.Permission)
	} else {
		fmt.Fprintf(b, "permission %s: %s\n", p.Permission, p.Reason)
	}
	if len(p.Grants) == 0 {
		b.WriteString("  no grant to the caller names it\n")
	}
	for i := range p.Grants {
		p.Grants[i].write(b)
	}
	if p.Actor == ActorNone {
		return
	}
	if len(p.Scopes) == 0 {
		b.WriteString("  scope: none of the caller's carries it\n")
	} else {
		fmt.Fprintf(b, "  scope: %s\n", strings.Join(p.Scopes, ", "))
	}
	fmt.Fprintf(b, "  actor: %s\n", p.Actor)
}

func (g *GrantTrace) write(b *strings.Builder) {
	verdict := "does not count"
	if g.Counted {
		verdict = "counts"
	}
	fmt.Fprintf(b, "  %s %s: %s, %s: %s", g.Effect, g.ID, g.Subject, g.Pattern, verdict)
	switch {
	case g.Window == WindowEarly:
		fmt.Fprintf(b, ", begins %s", instant(g.NotBefore))
	case g.Window == WindowOver:
		fmt.Fprintf(b, ", ended %s", instant(g.ExpiresAt))
	case g.Condition != ConditionNone:
		fmt.Fprintf(b, ", its condition %s", g.Condition)
	}
	b.WriteByte('\n')
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// String is the state as a part of a sentence.
func (c ConditionState) String() string {
	switch c {
	case ConditionUnread:
		return "is not read"
	case ConditionHolds:
		return "holds"
	case ConditionFails:
		return "does not hold"
	case ConditionErrs:
		return "cannot be computed"
	default:
		return "none"
	}
}

// String is the state as a part of a sentence.
func (a ActorState) String() string {
	switch a {
	case ActorFree:
		return "not limited"
	case ActorMay:
		return "may use it"
	case ActorMayNot:
		return "may not use it"
	default:
		return "none"
	}
}

// String is the requirement as in verdict.v1.Route.
func (r Requirement) String() string {
	switch r {
	case RequirePublic:
		return "public"
	case RequireAuthenticated:
		return "authenticated"
	case RequireAllOf:
		return "all_of"
	case RequireAnyOf:
		return "any_of"
	default:
		return "unset"
	}
}

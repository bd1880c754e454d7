package entra

import (
	"slices"
	"strings"

	"github.com/verdict-authz/verdict/server/policy"
)

// groupCases are scopes, agents and what a token holds of groups.
var groupCases = map[int]entry{
	212: claimsOf("scopes with double space, tab, NBSP", map[string]claimCase{
		"only U+0020 separates scopes": {edits: []edit{set("scp", "a  b\tc d\u00a0e")}, check: func(t *Token) bool { return slices.Equal(t.Principal.Scopes, []string{"a", "b\tc", "d\u00a0e"}) }},
	}),
	213: claimsOf("role with a space", map[string]claimCase{
		"a role is never split": {edits: []edit{set("roles", []string{"A B"})}, check: func(t *Token) bool { return slices.Equal(t.Principal.Roles, []string{"A B"}) }},
	}),
	214: claimsOf("agent for a user", map[string]claimCase{
		"the agent acts, its parent is told": {edits: []edit{set("azp", client), set("xms_act_fct", "11 3"), set("xms_par_app_azp", oid)}, check: func(t *Token) bool {
			return t.Principal.Kind == policy.PrincipalUser && t.Principal.ClientID == client && t.Agent.IsAgent() && t.Agent.Parent == oid && slices.Equal(t.Agent.ActorFacets, []int{3, 11}) && !t.Agent.Ignored
		}},
		"an agent of its own": {edits: []edit{app, set("scp", "/"), set("xms_sub_fct", "11"), set("xms_act_fct", "11")}, check: func(t *Token) bool {
			return t.Principal.Kind == policy.PrincipalApp && t.Agent.IsAgent() && slices.Equal(t.Agent.Facets, []int{11})
		}},
		"no agent": {check: func(t *Token) bool { return !t.Agent.IsAgent() && !t.Agent.Ignored }},
	}),
	215: claimsOf("malformed facets", map[string]claimCase{
		"a word among the facets":  {edits: []edit{set("xms_sub_fct", "13 x")}, check: func(t *Token) bool { return t.Agent.Facets == nil && t.Agent.Ignored && !t.Agent.IsAgent() }},
		"an empty facet claim":     {edits: []edit{set("xms_sub_fct", " ")}, check: func(t *Token) bool { return t.Agent.Facets == nil && t.Agent.Ignored && !t.Agent.IsAgent() }},
		"a number instead of text": {edits: []edit{set("xms_sub_fct", 13)}, check: func(t *Token) bool { return t.Agent.Facets == nil && t.Agent.Ignored && !t.Agent.IsAgent() }},
		"a facet below zero":       {edits: []edit{set("xms_sub_fct", "-13")}, check: func(t *Token) bool { return t.Agent.Facets == nil && t.Agent.Ignored && !t.Agent.IsAgent() }},
		"a facet beyond 31 bits":   {edits: []edit{set("xms_sub_fct", "4294967296")}, check: func(t *Token) bool { return t.Agent.Facets == nil && t.Agent.Ignored && !t.Agent.IsAgent() }},
		"a facet with a sign":      {edits: []edit{set("xms_sub_fct", "+13")}, check: func(t *Token) bool { return t.Agent.Facets == nil && t.Agent.Ignored && !t.Agent.IsAgent() }},
		"a parent that is no GUID": {edits: []edit{set("xms_par_app_azp", "x")}, check: func(t *Token) bool { return t.Agent.Parent == "" && t.Agent.Ignored }},
		"a facet that nobody knows": {edits: []edit{set("xms_sub_fct", "99 99")}, check: func(t *Token) bool {
			return slices.Equal(t.Agent.Facets, []int{99}) && !t.Agent.Ignored && !t.Agent.IsAgent()
		}},
	}),
	216: claimsOf("names of an administrator, another oid", map[string]claimCase{
		"names of an administrator": {edits: []edit{set("preferred_username", "admin@example.com"), set("email", "admin@example.com"), set("upn", "admin@example.com"), set("unique_name", "admin@example.com")}, check: func(t *Token) bool {
			return t.Principal.ObjectID == oid && t.Username == "admin@example.com" && !strings.Contains(mustJSON(t.Principal), "admin")
		}},
		"a name that cannot be one":          {edits: []edit{set("upn", "a\nb"), set("onprem_sid", "S-1-5-21-1\n")}, check: func(t *Token) bool { return t.Username == "" && t.OnPremSID == "" }},
		"the identifier in Active Directory": {edits: []edit{set("onprem_sid", "S-1-5-21-1-2-3-1104")}, check: func(t *Token) bool { return t.OnPremSID == "S-1-5-21-1-2-3-1104" }},
	}),
	217: claimsOf("on-behalf-of token", map[string]claimCase{
		"the middle tier acts for the user": {edits: []edit{set("azp", audience), set("scp", "user_impersonation")}, check: func(t *Token) bool {
			return t.Principal.ClientID == audience && t.Principal.ObjectID == oid && t.Principal.Kind == policy.PrincipalUser
		}},
		"a token for the middle tier is not ours": {edits: []edit{set("aud", client)}, want: policy.AudienceMismatch},
	}),
	218: claimsOf("200 groups", map[string]claimCase{
		"200 groups": {edits: []edit{set("groups", guids(200))}, check: func(t *Token) bool {
			return slices.Equal(t.Principal.Groups, guids(200)) && t.GroupsPresent && !t.Overage
		}},
	}),
	219: claimsOf("something else inside groups", map[string]claimCase{
		"a number among groups":  {edits: []edit{set("groups", []any{oid, 1})}, want: policy.GroupsMalformed},
		"an object among groups": {edits: []edit{set("groups", []any{object{"a": []int{1}}, oid})}, want: policy.GroupsMalformed},
		"null among groups":      {edits: []edit{set("groups", []any{nil})}, want: policy.GroupsMalformed},
		"groups null":            {edits: []edit{set("groups", nil)}, want: policy.GroupsMalformed},
	}),
	220: claimsOf("overage in _claim_names", map[string]claimCase{
		"_claim_names.groups": {edits: []edit{set("_claim_names", object{"groups": "src1"}), set("_claim_sources", object{"src1": object{"endpoint": "http://127.0.0.1:1/x"}})}, check: func(t *Token) bool { return t.Overage && !t.GroupsPresent }},
	}),
	221: claimsOf("groups a text", map[string]claimCase{
		"groups a text": {edits: []edit{set("groups", "src1")}, check: func(t *Token) bool { return t.Overage && !t.GroupsPresent }},
	}),
	222: claimsOf("hasgroups", map[string]claimCase{
		"hasgroups":                 {edits: []edit{set("hasgroups", true)}, check: func(t *Token) bool { return t.Overage }},
		"hasgroups as text":         {edits: []edit{set("hasgroups", "true")}, check: func(t *Token) bool { return t.Overage }},
		"hasgroups of another type": {edits: []edit{set("hasgroups", 1)}, want: policy.GroupsMalformed},
	}),
	223: claimsOf("groups beside the marker", map[string]claimCase{
		"groups beside the marker": {edits: []edit{set("groups", guids(3)), set("hasgroups", true)}, check: func(t *Token) bool { return t.Overage && t.Principal.Groups == nil }},
	}),
	224: claimsOf("_claim_names of another claim", map[string]claimCase{
		"_claim_names of another claim": {edits: []edit{set("_claim_names", object{"roles": "src1"})}, check: func(t *Token) bool { return !t.Overage }},
	}),
}

package entra

import (
	"slices"
	"strconv"
)

// Agent is what the token of an AI agent says of it. What the agent may do follows from its client id, as for every
// client that acts for a user; this is for the record.
type Agent struct {
	Facets      []int  // xms_sub_fct, of who the token is about; sorted
	ActorFacets []int  // xms_act_fct, of who acts; sorted
	Parent      string // xms_par_app_azp, the application that the agent was made from; "" for what is no agent
	Ignored     bool   // one of them was malformed and is left out
}

// Facets that Entra documents; there are others, which mean nothing here.
const (
	FacetAgentIdentity = 11 // an agent of its own
	FacetAgentUser     = 13 // a user account that belongs to an agent
)

// IsAgent says whether the token belongs to an agent: one acts, one is the subject, or its parent is named.
func (a Agent) IsAgent() bool {
	isAgent := func(facet int) bool { return facet == FacetAgentIdentity || facet == FacetAgentUser }
	return a.Parent != "" || slices.ContainsFunc(a.Facets, isAgent) || slices.ContainsFunc(a.ActorFacets, isAgent)
}

func (c *claims) agent() Agent {
	var a Agent
	if !c.seen[claimSubFct] && !c.seen[claimActFct] && !c.seen[claimParent] {
		return a
	}
	var okSubject, okActor bool
	a.Facets, okSubject = facets(c.seen[claimSubFct], c.subFct)
	a.ActorFacets, okActor = facets(c.seen[claimActFct], c.actFct)
	okParent := !c.seen[claimParent]
	if isCanonicalGUID(c.parent) {
		a.Parent, okParent = string(c.parent), true
	}
	a.Ignored = !okSubject || !okActor || !okParent
	return a
}

// facets reads integers separated by spaces. One that is none makes the claim worthless, as it is for Microsoft's
// libraries.
func facets(present bool, text []byte) (list []int, ok bool) {
	const most = 32
	words := splitScopes(string(text))
	if !present {
		return nil, true
	}
	if len(words) == 0 || len(words) > most {
		return nil, false
	}
	for _, word := range words {
		n, err := strconv.ParseUint(word, 10, 31)
		if err != nil {
			return nil, false
		}
		list = append(list, int(n))
	}
	slices.Sort(list)
	return slices.Compact(list), true
}

// hintText is a text on which nothing depends; one that cannot identify something counts as absent.
func hintText(text []byte) string {
	if !isPlain(text, false) {
		return ""
	}
	return string(text)
}

package pdp

import (
	"slices"
	"strconv"

	"github.com/verdict-authz/verdict/server/entra"
)

const (
	// agentFacetsLimit is the promise of verdict.v1.DecisionRecord.
	agentFacetsLimit = 64
	// facetsRoom is how many bytes the numbers of one list may take. With two lists, up to 32 numbers in each, it
	// comes to the limit: "actor", "; subject" and "; ignored" take 23, and " +32" twice takes 8.
	facetsRoom = 16
)

// documentedFacets come first, since they tell what kind of agent it is.
var documentedFacets = [...]int{entra.FacetAgentIdentity, entra.FacetAgentUser}

// agentFacets is what a record keeps of a's facets, such as "actor 11; subject 13; ignored". It is made of numbers and
// words of our own; no text of a claim gets in.
func agentFacets(a *entra.Agent) string {
	if len(a.ActorFacets) == 0 && len(a.Facets) == 0 && !a.Ignored {
		return ""
	}
	var room [agentFacetsLimit]byte
	text := appendFacets(room[:0], "actor", a.ActorFacets)
	text = appendFacets(text, "subject", a.Facets)
	if a.Ignored {
		text = append(separated(text), "ignored"...)
	}
	return string(text)
}

// appendFacets adds the name and as many facets as have room, then how many are left out.
func appendFacets(text []byte, name string, facets []int) []byte {
	if len(facets) == 0 {
		return text
	}
	text = append(separated(text), name...)
	full, left := len(text)+facetsRoom, len(facets)
	for _, facet := range documentedFacets {
		if slices.Contains(facets, facet) {
			text, left = appendNumber(text, " ", facet), left-1
		}
	}
	for _, facet := range facets {
		if slices.Contains(documentedFacets[:], facet) {
			continue
		}
		longer := appendNumber(text, " ", facet)
		if len(longer) > full {
			break
		}
		text, left = longer, left-1
	}
	if left > 0 {
		text = appendNumber(text, " +", left)
	}
	return text
}

func appendNumber(text []byte, before string, n int) []byte {
	return strconv.AppendInt(append(text, before...), int64(n), 10)
}

func separated(text []byte) []byte {
	if len(text) == 0 {
		return text
	}
	return append(text, "; "...)
}

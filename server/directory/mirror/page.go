package mirror

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// page is one answer of a delta query. The last one has a delta link, all others a next link.
type page struct {
	Value     *[]object `json:"value"`
	NextLink  string    `json:"@odata.nextLink"`
	DeltaLink string    `json:"@odata.deltaLink"`
}

// object is one change: a group with changes of its members, a user or a service principal. Properties that did not change
// may be missing.
type object struct {
	ID                store.GUID `json:"id"`
	Removed           *removed   `json:"@removed"`
	Members           []member   `json:"members@delta"`
	AccountEnabled    *bool      `json:"accountEnabled"`
	SessionsValidFrom *time.Time `json:"signInSessionsValidFromDateTime"`
}

type member struct {
	Type    string     `json:"@odata.type"`
	ID      store.GUID `json:"id"`
	Removed *removed   `json:"@removed"`
}

type removed struct {
	Reason string `json:"reason"`
}

// fate of an object: what was only "changed" can be restored. Whatever else Graph may say of it, it is not there.
func (r *removed) fate() store.Fate {
	switch {
	case r == nil:
		return store.FateThere
	case r.Reason == "deleted":
		return store.FateGone
	}
	return store.FateDeleted
}

// kinds are the members that get access. Others, devices and contacts among them, are not kept.
var kinds = map[string]store.MirrorKind{
	"#microsoft.graph.user":             store.MirrorUser,
	"#microsoft.graph.serviceprincipal": store.MirrorServicePrincipal,
	"#microsoft.graph.group":            store.MirrorGroup,
}

// errMalformed says that an answer is not what Graph answers.
var errMalformed = errors.New("malformed answer")

// readPage reads a page and checks what everything else relies on.
func readPage(body []byte) (*page, error) {
	var p page
	if err := json.Unmarshal(body, &p); err != nil {
		return nil, fmt.Errorf("%w: no JSON of a delta page", errMalformed) // the cause may repeat what was sent
	}
	if p.Value == nil || (p.NextLink == "") == (p.DeltaLink == "") {
		return nil, fmt.Errorf("%w: a page has values and one link", errMalformed)
	}
	for i := range *p.Value {
		o := &(*p.Value)[i]
		if o.ID.IsZero() {
			return nil, fmt.Errorf("%w: an object without an id", errMalformed)
		}
		for _, m := range o.Members {
			if m.ID.IsZero() || m.Type == "" && m.Removed == nil {
				return nil, fmt.Errorf("%w: a member without an id or a type", errMalformed)
			}
		}
	}
	return &p, nil
}

// kindOf is 0 for a member that is not kept.
func (m *member) kindOf() store.MirrorKind { return kinds[strings.ToLower(m.Type)] }

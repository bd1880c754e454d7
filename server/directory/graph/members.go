package graph

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/server/directory"
)

// resultSizeExceeded is the code for a principal with more than 11 000 groups.
const resultSizeExceeded = "Directory_ResultSizeLimitExceeded"

// reply is what Graph says of one principal.
type reply struct {
	groups  []string
	tooMany bool // the list must be had in pages
	err     error
}

type memberGroupsRequest struct {
	SecurityEnabledOnly bool `json:"securityEnabledOnly"`
}

// memberGroupsResponse is a list of ids. A pointer, so that a body without the member is not taken for an empty list.
type memberGroupsResponse struct {
	Value    *[]string `json:"value"`
	NextLink string    `json:"@odata.nextLink"`
}

// memberGroups asks for one principal.
func (t *tenant) memberGroups(object string) reply {
	r, err := t.send(t.client.life, http.MethodPost, t.client.base.String()+object+"/getMemberGroups",
		memberGroupsRequest{t.client.cfg.SecurityOnly}, maxBody)
	if err != nil {
		return reply{err: err}
	}
	return t.read(r)
}

// read makes a reply of an answer to getMemberGroups.
func (t *tenant) read(r response) reply {
	if r.status == http.StatusBadRequest && r.code() == resultSizeExceeded {
		return reply{tooMany: true}
	}
	if err := t.failure(r); err != nil {
		return reply{err: err}
	}
	var body memberGroupsResponse
	if err := json.Unmarshal(r.body, &body); err != nil || body.Value == nil {
		return reply{err: malformed("no list of ids")}
	}
	if body.NextLink != "" { // it is not known to come; the list goes on, and pages are the way to have it whole
		return reply{tooMany: true}
	}
	return t.checked(*body.Value)
}

// checked refuses lists that are not of ids or too long.
func (t *tenant) checked(ids []string) reply {
	if len(ids) > t.client.cfg.MaxGroups {
		return reply{err: fmt.Errorf("%w: more than %d groups", directory.ErrUnavailable, t.client.cfg.MaxGroups)}
	}
	for _, id := range ids {
		if !directory.IsGUID(strings.ToLower(id)) {
			return reply{err: malformed("a group's id is not a GUID")}
		}
	}
	return reply{groups: ids}
}

func malformed(what string) error {
	return fmt.Errorf("%w: malformed answer: %s", directory.ErrUnavailable, what)
}

// membership is what was true at, the moment before Graph was asked.
func membership(ids []string, at time.Time) directory.Membership {
	return directory.Membership{Groups: directory.Normalize(ids), At: at.UTC(), Source: "graph"}
}

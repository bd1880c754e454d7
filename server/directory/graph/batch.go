package graph

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/verdict-authz/verdict/server/directory"
)

// maxBatch is how many requests Graph takes in one $batch.
const maxBatch = 20

type batchRequest struct {
	Requests []batchPart `json:"requests"`
}

type batchPart struct {
	ID      string              `json:"id"`
	Method  string              `json:"method"`
	URL     string              `json:"url"`
	Headers map[string]string   `json:"headers"`
	Body    memberGroupsRequest `json:"body"`
}

type batchResponse struct {
	Responses []struct {
		ID      string            `json:"id"`
		Status  int               `json:"status"`
		Headers map[string]string `json:"headers"`
		Body    json.RawMessage   `json:"body"`
	} `json:"responses"`
}

// batched asks for several principals in one request. Each is answered, refused and throttled by itself; the status of the
// whole says nothing of them.
func (t *tenant) batched(batch []*lookup) []reply {
	replies := make([]reply, len(batch))
	parts, err := t.sendBatch(batch)
	for i := range replies {
		switch r, ok := parts[i]; {
		case err != nil:
			replies[i].err = err
		case !ok:
			replies[i].err = soon(fmt.Errorf("%w: missing in the batch's answer", directory.ErrUnavailable))
		default:
			replies[i] = t.read(r)
		}
	}
	return replies
}

// sendBatch returns the answers by their place in batch. One that Graph gave twice is left out.
func (t *tenant) sendBatch(batch []*lookup) (map[int]response, error) {
	req := batchRequest{Requests: make([]batchPart, len(batch))}
	for i, l := range batch {
		req.Requests[i] = batchPart{
			ID: strconv.Itoa(i), Method: http.MethodPost, URL: l.object + "/getMemberGroups",
			Headers: map[string]string{"Content-Type": "application/json"},
			Body:    memberGroupsRequest{t.client.cfg.SecurityOnly},
		}
	}
	outer, err := t.send(t.client.life, http.MethodPost, t.client.base.String()+"/$batch", req, maxBatch*maxBody)
	if err != nil {
		return nil, err
	}
	if outer.status != http.StatusOK {
		if outer.status == http.StatusNotFound { // of the batch itself, not of a principal
			return nil, fmt.Errorf("%w: status 404 for a batch", directory.ErrUnavailable)
		}
		return nil, t.failure(outer)
	}
	var body batchResponse
	if err := json.Unmarshal(outer.body, &body); err != nil {
		return nil, malformed("no batch")
	}
	parts := make(map[int]response, len(batch))
	seen := make(map[int]bool, len(batch))
	for _, p := range body.Responses {
		i, err := strconv.Atoi(p.ID)
		if err != nil || i < 0 || i >= len(batch) {
			return nil, malformed("an answer to what was not asked")
		}
		if seen[i] {
			delete(parts, i)
			continue
		}
		seen[i] = true
		h := http.Header{}
		for name, value := range p.Headers {
			h.Set(name, value)
		}
		parts[i] = response{status: p.Status, header: h, body: p.Body}
	}
	return parts, nil
}

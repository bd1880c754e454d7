package graphtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// ServeHTTP answers as Graph would.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
	intercept := s.intercept
	s.mu.Unlock()
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // before all: net/http sees a client leave only afterwards
	if intercept != nil && intercept(w, r) {
		return
	}
	if err != nil {
		write(w, Refusal(http.StatusBadRequest, "BadRequest"))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.whole) > 0 {
		answer := s.whole[0]
		s.whole = s.whole[1:]
		write(w, answer)
		return
	}
	tenant, ok := tenantOf(r)
	path, below := strings.CutPrefix(r.URL.Path, "/v1.0")
	switch {
	case !ok:
		write(w, Refusal(http.StatusUnauthorized, "InvalidAuthenticationToken"))
	case !below:
		write(w, Refusal(http.StatusNotFound, "BadRequest"))
	case path == "/$batch" && r.Method == http.MethodPost:
		write(w, s.batch(tenant, body))
	default:
		write(w, s.one(tenant, r.Method, path, r.URL, r.Host, body))
	}
}

func write(w http.ResponseWriter, a Response) {
	w.Header().Set("Content-Type", "application/json;odata.metadata=minimal;charset=utf-8")
	for name, value := range a.Header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(a.Status)
	_, _ = io.WriteString(w, a.text()) //nolint:gosec // what a test told it to answer, as JSON
}

func (a Response) text() string {
	if a.Body == "" {
		return "{}"
	}
	return a.Body
}

// one answers about one principal, alone or in a batch.
func (s *Server) one(tenant, method, path string, u *url.URL, host string, body []byte) Response {
	cut := strings.LastIndexByte(path, '/')
	object, call := path[:max(cut, 0)], path[cut+1:]
	if queue := s.scripted[object]; len(queue) > 0 {
		s.scripted[object] = queue[1:]
		return queue[0]
	}
	groups, ok := s.groups[tenant+object]
	switch {
	case !ok:
		return Refusal(http.StatusNotFound, "Request_ResourceNotFound")
	case call == "getMemberGroups" && method == http.MethodPost:
		return memberGroups(groups, body)
	case call == "transitiveMemberOf" && method == http.MethodGet && u != nil:
		return s.page(groups, u, host)
	}
	return Refusal(http.StatusBadRequest, "BadRequest")
}

func memberGroups(groups []string, body []byte) Response {
	var asked struct {
		SecurityEnabledOnly *bool `json:"securityEnabledOnly"`
	}
	if err := json.Unmarshal(body, &asked); err != nil || asked.SecurityEnabledOnly == nil {
		return Refusal(http.StatusBadRequest, "Request_BadRequest")
	}
	if len(groups) > MaxMemberGroups {
		return Refusal(http.StatusBadRequest, "Directory_ResultSizeLimitExceeded")
	}
	if groups == nil {
		groups = []string{}
	}
	return ok(map[string]any{"@odata.context": Base + "/$metadata#Collection(Edm.String)", "value": groups})
}

// page has a directory role before the groups, since Graph mixes them.
func (s *Server) page(groups []string, u *url.URL, host string) Response {
	q := u.Query()
	size, err := strconv.Atoi(q.Get("$top"))
	if err != nil || size < 1 || size > MaxPage {
		return Refusal(http.StatusBadRequest, "Request_BadRequest")
	}
	size = min(size, s.pageSize)
	from := 0
	if token := q.Get("$skiptoken"); token != "" {
		if from, err = strconv.Atoi(token); err != nil || from > len(groups) {
			return Refusal(http.StatusBadRequest, "Directory_InvalidPageToken")
		}
	}
	to := min(from+size, len(groups))
	value := []map[string]any{{"@odata.type": "#microsoft.graph.directoryRole", "id": fmt.Sprintf("00000000-0000-0000-0000-%012d", from)}}
	for _, g := range groups[from:to] {
		value = append(value, map[string]any{"@odata.type": "#microsoft.graph.group", "id": g, "securityEnabled": true})
	}
	answer := map[string]any{"value": value}
	if to < len(groups) {
		q.Set("$skiptoken", strconv.Itoa(to))
		link := "http://" + host + u.Path + "?" + q.Encode()
		if strings.HasPrefix(Base, "https://"+host+"/") {
			link = "https://" + host + u.Path + "?" + q.Encode()
		}
		if s.nextLink != nil {
			link = s.nextLink(link)
		}
		answer["@odata.nextLink"] = link
	}
	return ok(answer)
}

// batch answers each part by itself, the last one first: Graph keeps no order.
func (s *Server) batch(tenant string, body []byte) Response {
	var asked struct {
		Requests []struct {
			ID      string            `json:"id"`
			Method  string            `json:"method"`
			URL     string            `json:"url"`
			Headers map[string]string `json:"headers"`
			Body    json.RawMessage   `json:"body"`
		} `json:"requests"`
	}
	if err := json.Unmarshal(body, &asked); err != nil || len(asked.Requests) == 0 || len(asked.Requests) > MaxBatch {
		return Refusal(http.StatusBadRequest, "BadRequest")
	}
	s.batches = append(s.batches, len(asked.Requests))
	parts := make([]map[string]any, 0, len(asked.Requests))
	for i := len(asked.Requests) - 1; i >= 0; i-- {
		p := asked.Requests[i]
		a := Refusal(http.StatusBadRequest, "BadRequest")
		if p.Headers["Content-Type"] == "application/json" { // a body without it is refused
			a = s.one(tenant, p.Method, p.URL, nil, "", p.Body)
		}
		if a.Status == 0 {
			continue // scripted to be forgotten
		}
		parts = append(parts, map[string]any{
			"id": p.ID, "status": a.Status, "headers": a.Header, "body": json.RawMessage(a.text()),
		})
	}
	return ok(map[string]any{"responses": parts})
}

func ok(v any) Response {
	text, err := json.Marshal(v)
	if err != nil {
		return Refusal(http.StatusInternalServerError, "InternalServerError")
	}
	return Response{Status: http.StatusOK, Body: string(text)}
}

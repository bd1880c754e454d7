package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/verdict-authz/verdict/server/directory"
)

const (
	// pageQuery asks for the longest page. The list is not cast to groups, which would read an index that lags behind.
	pageQuery = "/transitiveMemberOf?$select=id&$top=999"
	groupType = "#microsoft.graph.group"
	maxPages  = 500
)

type page struct {
	Value *[]struct {
		Type            string `json:"@odata.type"`
		ID              string `json:"id"`
		SecurityEnabled *bool  `json:"securityEnabled"`
	} `json:"value"`
	NextLink string `json:"@odata.nextLink"`
}

// pages reads the list of a principal that is too long for getMemberGroups. A link that Graph no longer knows (410) is
// answered by beginning again, once.
func (t *tenant) pages(ctx context.Context, object string) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.client.life, cancel)()
	groups, gone, err := t.walk(ctx, object)
	if gone {
		groups, gone, err = t.walk(ctx, object)
	}
	if gone {
		return nil, fmt.Errorf("%w: the list changes too fast to be read", directory.ErrUnavailable)
	}
	return groups, err
}

// walk reads all pages; gone: a link was no longer known.
func (t *tenant) walk(ctx context.Context, object string) (groups []string, gone bool, err error) {
	query := pageQuery
	if t.client.cfg.SecurityOnly {
		query = strings.Replace(query, "$select=id", "$select=id,securityEnabled", 1)
	}
	address := t.client.base.String() + object + query
	seen := map[string]bool{}
	for range maxPages {
		if seen[address] {
			return nil, false, malformed("a link leads back")
		}
		seen[address] = true
		t.mu.Lock()
		err := t.limits.spend(t.client.cfg.Now(), costPage)
		t.mu.Unlock()
		if err != nil {
			return nil, false, err
		}
		r, err := t.send(ctx, http.MethodGet, address, nil, maxBody)
		if err != nil {
			return nil, false, err
		}
		if r.status == http.StatusGone {
			return nil, true, nil
		}
		if err := t.failure(r); err != nil {
			return nil, false, err
		}
		var p page
		if err := json.Unmarshal(r.body, &p); err != nil || p.Value == nil {
			return nil, false, malformed("no page")
		}
		if groups, err = t.collect(groups, &p); err != nil {
			return nil, false, err
		}
		if p.NextLink == "" {
			return groups, false, nil
		}
		if address, err = t.follow(p.NextLink); err != nil {
			return nil, false, err
		}
	}
	return nil, false, fmt.Errorf("%w: more than %d pages", directory.ErrUnavailable, maxPages)
}

// collect adds the groups of p. Directory roles and administrative units are in the same list and are no groups.
func (t *tenant) collect(groups []string, p *page) ([]string, error) {
	for _, o := range *p.Value {
		switch {
		case o.Type == "":
			return nil, malformed("an object without a type")
		case o.Type != groupType:
			continue
		case t.client.cfg.SecurityOnly && o.SecurityEnabled == nil:
			return nil, malformed("a group without securityEnabled")
		case t.client.cfg.SecurityOnly && !*o.SecurityEnabled:
			continue
		}
		groups = append(groups, o.ID)
	}
	r := t.checked(groups)
	return r.groups, r.err
}

// follow refuses a link that leads anywhere but to this Graph: the request carries our token.
func (t *tenant) follow(link string) (string, error) {
	u, err := url.Parse(link)
	base := t.client.base
	if err != nil || u.Scheme != base.Scheme || u.Host != base.Host || u.User != nil || u.Fragment != "" ||
		!strings.HasPrefix(u.EscapedPath(), base.EscapedPath()+"/") || strings.Contains(u.Path, "..") {
		return "", malformed("a link leads elsewhere")
	}
	return u.String(), nil
}

package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/server/directory"
	"github.com/verdict-authz/verdict/server/directory/graph"
	"github.com/verdict-authz/verdict/store"
)

const (
	maxPage  = 64 << 20 // bytes of a page, after decompression
	maxPages = 200_000  // of a resource in a round
	// tries is how often a page is asked for when Graph has no time, or there is no way to it.
	tries = 6
	// longestPause is between two tries when Graph does not say.
	longestPause = 30 * time.Second
)

// starts is where each resource is asked for when there is no link. What is not in $select is not followed.
var starts = map[store.MirrorResource]struct{ folder, query string }{
	store.MirrorResourceGroups:            {"/groups/", "delta?$select=members"},
	store.MirrorResourceUsers:             {"/users/", "delta?$select=accountEnabled,signInSessionsValidFromDateTime"},
	store.MirrorResourceServicePrincipals: {"/servicePrincipals/", "delta?$select=accountEnabled"},
}

// reader reads delta queries of one Graph.
type reader struct {
	base    *url.URL
	http    *http.Client
	tokens  graph.TokenSource
	log     *slog.Logger
	timeout time.Duration
	maxWait time.Duration
	most    int
	now     func() time.Time
	sleep   func(ctx context.Context, d time.Duration) error
}

// goneError says that Graph no longer knows a link. Location is where to begin again; empty: it does not say, or to
// somewhere else.
type goneError struct{ Location string }

func (*goneError) Error() string { return "the link is no longer known" }

// start is where a full look at a resource begins.
func (r *reader) start(resource store.MirrorResource) string {
	at := starts[resource]
	return r.base.String() + at.folder + at.query
}

// pinned returns link, or an error when it leads anywhere but to this resource of this Graph: the request carries a token.
func (r *reader) pinned(resource store.MirrorResource, link string) (string, error) {
	u, err := url.Parse(link)
	if err != nil || u.Scheme != r.base.Scheme || u.Host != r.base.Host || u.User != nil || u.Fragment != "" ||
		!strings.HasPrefix(u.EscapedPath(), r.base.EscapedPath()+starts[resource].folder) || strings.Contains(u.EscapedPath(), "..") {
		return "", fmt.Errorf("%w: a link leads elsewhere", errMalformed)
	}
	return u.String(), nil
}

// found is what was read of one resource, up to link.
type found struct {
	fold *fold
	full bool
	link string
}

// read follows a resource from link to the end of its changes. full: link begins a full look. each is called before each
// page. When Graph no longer knows the link, read begins again with a full look; what it found until then is thrown away.
func (r *reader) read(ctx context.Context, tenant store.GUID, resource store.MirrorResource, link string, full bool, each func(ctx context.Context, full bool) error) (found, error) {
	for again := 0; ; again++ {
		got := found{fold: newFold(resource, r.most), full: full, link: link}
		err := r.walk(ctx, tenant, &got, each)
		var gone *goneError
		if !errors.As(err, &gone) {
			return got, err
		}
		if again == 2 {
			return got, fmt.Errorf("read %s: %w, nor is that of a full look", resource, err)
		}
		r.log.Warn("graph wants a full look", "tenant", tenant.String(), "resource", string(resource))
		link, full = r.start(resource), true
		if gone.Location != "" && again == 0 {
			link = gone.Location
		}
	}
}

// walk adds to got what comes from its link on, and moves the link.
func (r *reader) walk(ctx context.Context, tenant store.GUID, got *found, each func(ctx context.Context, full bool) error) error {
	resource, link := got.fold.resource, got.link
	seen := make(map[string]struct{})
	for range maxPages {
		if err := each(ctx, got.full); err != nil {
			return err
		}
		if _, again := seen[link]; again {
			return fmt.Errorf("read %s: %w: a link leads back", resource, errMalformed)
		}
		seen[link] = struct{}{}
		p, err := r.page(ctx, tenant, resource, link)
		if err != nil {
			return fmt.Errorf("read %s: %w", resource, err)
		}
		if err := got.fold.add(*p.Value); err != nil {
			return fmt.Errorf("read %s: %w", resource, err)
		}
		next := p.NextLink + p.DeltaLink // one of them is empty
		if link, err = r.pinned(resource, next); err != nil {
			return fmt.Errorf("read %s: %w", resource, err)
		}
		if p.DeltaLink != "" {
			got.link = link
			return nil
		}
	}
	return fmt.Errorf("read %s: more than %d pages", resource, maxPages)
}

// page asks for one page until it comes, a few times. It waits as long as Graph says; when that is longer than a round
// may wait, the error is a directory.RetryError.
func (r *reader) page(ctx context.Context, tenant store.GUID, resource store.MirrorResource, link string) (*page, error) {
	pause := time.Second
	for try := 1; ; try++ {
		p, wait, err := r.ask(ctx, tenant, resource, link)
		if err == nil || wait < 0 || ctx.Err() != nil {
			return p, err
		}
		if wait == 0 {
			wait = pause
			pause = min(2*pause, longestPause)
		}
		if try == tries || wait > r.maxWait {
			return nil, &directory.RetryError{After: wait, Err: err}
		}
		if err := r.sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// ask asks once. wait is how long Graph wants to be left alone: 0 when it does not say, negative when another try is of no
// use.
func (r *reader) ask(ctx context.Context, tenant store.GUID, resource store.MirrorResource, link string) (_ *page, wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	token, err := r.tokens.Token(ctx, tenant.String())
	if err != nil {
		return nil, 0, fmt.Errorf("no token for Graph: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return nil, -1, withoutAddress(err)
	}
	req.Header.Set("Authorization", "Bearer "+string(token))
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "verdict")
	req.Header.Set("x-ms-throttle-priority", "low") // decisions may be asking too
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, 0, withoutAddress(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
	switch {
	case err != nil:
		return nil, 0, errors.New("the answer was cut off")
	case len(body) > maxPage:
		return nil, -1, fmt.Errorf("%w: longer than %d bytes", errMalformed, maxPage)
	case resp.StatusCode == http.StatusOK:
		p, err := readPage(body)
		return p, -1, err
	}
	return nil, r.after(resp), r.refusal(resource, resp, body)
}

// refusal is why there is no page.
func (r *reader) refusal(resource store.MirrorResource, resp *http.Response, body []byte) error {
	var e struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &e) // without a code there is the status
	code := strings.ToLower(e.Error.Code)
	if resp.StatusCode == http.StatusGone || code == "syncstatenotfound" || code == "resyncrequired" {
		gone := new(goneError)
		if location, err := r.pinned(resource, resp.Header.Get("Location")); err == nil {
			gone.Location = location
		}
		return gone
	}
	return fmt.Errorf("status %d %s", resp.StatusCode, plain(code))
}

// after is how long to wait before the next try: 0 when Graph does not say, negative when there should be none.
func (r *reader) after(resp *http.Response) time.Duration {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode < http.StatusInternalServerError {
		return -1
	}
	value := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 20); err == nil {
		return max(time.Duration(seconds)*time.Second, time.Second)
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(date.Sub(r.now()), time.Second)
	}
	return 0
}

// plain is code as far as it can be shown: what Graph sends may repeat what was sent.
func plain(code string) string {
	if len(code) > 64 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz0123456789_.") != "" {
		return ""
	}
	return code
}

// withoutAddress drops the address that net/http puts around what went wrong: links hold state tokens.
func withoutAddress(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err
	}
	return err
}

package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/verdict-authz/verdict/server/directory"
)

const (
	// maxBody bounds one answer after decompression: 11 000 ids take 430 KB.
	maxBody = 2 << 20
	// retrySoon is the wait after a failure that says nothing of when it ends.
	retrySoon = 200 * time.Millisecond
)

// response is an answer of Graph, of a request of its own or of one in a batch.
type response struct {
	status int
	header http.Header
	body   []byte
}

// graphError is the body of a refusal.
type graphError struct {
	Error struct {
		Code string `json:"code"`
	} `json:"error"`
}

// send makes one request and reads its whole answer, whatever its status. limit bounds the body.
func (t *tenant) send(ctx context.Context, method, address string, body any, limit int64) (response, error) {
	ctx, cancel := context.WithTimeout(ctx, t.client.cfg.Timeout)
	defer cancel()
	token, err := t.client.tokens.Token(ctx, t.id)
	if err != nil {
		return response{}, fmt.Errorf("%w: no token for Graph: %w", directory.ErrUnavailable, err)
	}
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return response{}, fmt.Errorf("%w: %w", directory.ErrUnavailable, err)
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return response{}, fmt.Errorf("%w: %w", directory.ErrUnavailable, withoutAddress(err))
	}
	req.Header.Set("Authorization", "Bearer "+string(token))
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "verdict")
	req.Header.Set("x-ms-throttle-priority", "high") // somebody waits for it
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := t.client.http.Do(req)
	if err != nil {
		return response{}, soon(fmt.Errorf("%w: %w", directory.ErrUnavailable, withoutAddress(err)))
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return response{}, soon(fmt.Errorf("%w: read the answer: %w", directory.ErrUnavailable, err))
	case int64(len(text)) > limit:
		return response{}, fmt.Errorf("%w: the answer is longer than %d bytes", directory.ErrUnavailable, limit)
	}
	r := response{status: resp.StatusCode, header: resp.Header, body: text}
	t.mu.Lock()
	t.limits.heard(r.header)
	t.mu.Unlock()
	if ct, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); r.status == http.StatusOK && (err != nil || ct != "application/json") {
		return response{}, fmt.Errorf("%w: the answer is not JSON", directory.ErrUnavailable)
	}
	return r, nil
}

// withoutAddress drops the address that net/http puts around what went wrong.
func withoutAddress(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err
	}
	return err
}

// soon says that the next try may well succeed.
func soon(err error) error { return &directory.RetryError{After: retrySoon, Err: err} }

// failure is why r is no answer; nil when it is one. It is ErrUnavailable for all but a principal that Graph does not
// have, and says when another try makes sense, if it does.
func (t *tenant) failure(r response) error {
	if r.status == http.StatusOK {
		t.mu.Lock()
		t.limits.answered()
		t.mu.Unlock()
		return nil
	}
	code := r.code()
	err := fmt.Errorf("%w: status %d %s", directory.ErrUnavailable, r.status, code)
	switch {
	case r.status == http.StatusTooManyRequests, r.status == http.StatusServiceUnavailable && r.header.Get("Retry-After") != "":
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.limits.refused(t.client.cfg.Now(), r.header)
	case r.status == http.StatusNotFound && code == "Request_ResourceNotFound":
		return directory.ErrUnknownPrincipal
	case r.status >= http.StatusInternalServerError:
		return soon(err)
	}
	return err
}

// code is the error code in r, as far as it is one; "" otherwise. Messages are not shown: they may repeat what was sent.
func (r response) code() string {
	var e graphError
	if json.Unmarshal(r.body, &e) != nil || len(e.Error.Code) > 64 {
		return ""
	}
	for _, c := range []byte(e.Error.Code) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '.' {
			return ""
		}
	}
	return e.Error.Code
}

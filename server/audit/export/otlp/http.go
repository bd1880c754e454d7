package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	collectorpb "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/verdict-authz/verdict/server/audit/export"
)

const (
	contentType = "application/x-protobuf"
	// mostAnswer bounds what is read of an answer.
	mostAnswer = 1 << 20
)

// overHTTP sets the sink up for HTTP.
func (s *Sink) overHTTP(at *url.URL, secure *tls.Config) {
	if at.Path == "" || at.Path == "/" {
		at = at.JoinPath("v1", "logs")
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: secure, ForceAttemptHTTP2: true,
		MaxIdleConns: 2, IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
	}
	client := &http.Client{
		Transport: transport,
		// A redirect would take the headers somewhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	where := at.String()
	s.end = func() error { transport.CloseIdleConnections(); return nil }
	s.send = func(ctx context.Context, msg *collectorpb.ExportLogsServiceRequest, h []header) (*collectorpb.ExportLogsServiceResponse, error) {
		req, err := s.request(ctx, where, msg, h)
		if err != nil {
			return nil, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, fmt.Errorf("send OTLP: %w", cause(err))
		}
		defer resp.Body.Close()
		return s.answer(resp)
	}
}

func (s *Sink) request(ctx context.Context, where string, msg *collectorpb.ExportLogsServiceRequest, h []header) (*http.Request, error) {
	body, err := proto.Marshal(msg)
	if err != nil {
		return nil, fmt.Errorf("marshal OTLP: %w", err)
	}
	if !s.cfg.NoGzip {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		if _, err := z.Write(body); err != nil {
			return nil, fmt.Errorf("pack OTLP: %w", err)
		}
		if err := z.Close(); err != nil {
			return nil, fmt.Errorf("pack OTLP: %w", err)
		}
		body = packed.Bytes()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, where, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("send OTLP: %w", cause(err))
	}
	for _, f := range h {
		req.Header.Add(f.name, f.value)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", "verdict/"+s.cfg.Version)
	if !s.cfg.NoGzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	return req, nil
}

// answer reads what the other side says. Only 400 and 413 speak of the records, and 422, which some use so; 401, 404 and the
// like are somebody's mistake that somebody will find, and until then nothing is passed.
func (s *Sink) answer(resp *http.Response) (*collectorpb.ExportLogsServiceResponse, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer to OTLP: %w", cause(err))
	}
	status := fmt.Errorf("OTLP answer: HTTP status %d", resp.StatusCode)
	switch resp.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return parseAnswer(resp.Header.Get("Content-Type"), body)
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return nil, fmt.Errorf("%w: %w", status, export.ErrRefused)
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if after := s.retryAfter(resp.Header.Get("Retry-After")); after > 0 {
			return nil, &export.Later{After: after, Err: status}
		}
	}
	return nil, status
}

// errNoOTLP is for a success of somebody who does not speak OTLP, such as the page of a proxy: it acknowledges nothing.
var errNoOTLP = errors.New("OTLP answer: success, and no OTLP in it")

// parseAnswer reads the answer to records that were taken, rejected ones excepted. Some answer with nothing, or in JSON.
func parseAnswer(kind string, body []byte) (*collectorpb.ExportLogsServiceResponse, error) {
	resp := new(collectorpb.ExportLogsServiceResponse)
	kind, _, _ = strings.Cut(kind, ";")
	kind = strings.TrimSpace(kind)
	var err error
	switch {
	case len(body) == 0:
	case kind == contentType:
		err = proto.Unmarshal(body, resp)
	case kind == "application/json":
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(body, resp)
	default:
		err = errNoOTLP
	}
	if err != nil {
		return nil, errNoOTLP
	}
	return resp, nil
}

// retryAfter is in how long the other side wants to be asked again; 0 when it does not say.
func (s *Sink) retryAfter(text string) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(s.cfg.Now()))
	}
	return 0
}

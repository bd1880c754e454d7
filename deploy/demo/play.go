package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// scene is one request and what must come back.
type scene struct {
	what   string
	method string
	target string     // as written on the wire, so that path tricks stay what they are
	token  url.Values // how the local issuer mints it; nil: no token
	status int
	code   string // of the problem body; "" when it is let through or Envoy itself refuses
}

// scenes are the story of the demo; cmd/verdict/example.yaml is the policy they play in.
var scenes = []scene{
	{"health check, public route", "GET", "/healthz", nil, 200, ""},
	{"no token", "GET", "/orders/42", nil, 401, "TOKEN_MISSING"},
	{"alice reads an order", "GET", "/orders/42", url.Values{"user": {"alice"}}, 200, ""},
	{"alice writes an order", "POST", "/orders", url.Values{"user": {"alice"}}, 200, ""},
	{"bob reads an order", "GET", "/orders/42", url.Values{"user": {"bob"}}, 200, ""},
	{"bob writes, without the grant", "POST", "/orders", url.Values{"user": {"bob"}}, 403, "NO_GRANT"},
	{"alice, token without the scope", "POST", "/orders", url.Values{"user": {"alice"}, "scope": {"Orders.Read"}}, 403, "SCOPE_INSUFFICIENT"},
	{"alice, expired token", "GET", "/orders/42", url.Values{"user": {"alice"}, "lifetime": {"-10m"}}, 401, "TOKEN_EXPIRED"},
	{"alice, token of another api", "GET", "/orders/42", url.Values{"user": {"alice"}, "audience": {"99999999-9999-4999-8999-999999999999"}}, 401, "AUDIENCE_MISMATCH"},
	{"nightly job reads as itself", "GET", "/orders/42", url.Values{"app": {"nightly"}}, 200, ""},
	{"path trick: a path parameter", "GET", "/orders;v=1/42", url.Values{"user": {"alice"}}, 400, "REQUEST_MALFORMED"},
	{"path trick: encoded slash", "GET", "/orders%2fadmin", url.Values{"user": {"alice"}}, 400, ""},
	{"route nobody declared", "GET", "/admin", url.Values{"user": {"alice"}}, 403, "ROUTE_UNKNOWN"},
}

// play sends every scene through Envoy and prints a table; good counts the answers that were as expected.
func play(ctx context.Context, out io.Writer) (good, total int, err error) {
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "\nREQUEST\tTARGET\tEXPECTED\tCAME BACK\tWHY")
	for _, s := range scenes {
		token := ""
		if s.token != nil {
			if token, err = mint(ctx, s.token); err != nil {
				return good, total, err
			}
		}
		status, body, err := send(ctx, s.method, s.target, token)
		if err != nil {
			return good, total, fmt.Errorf("%s: %w", s.what, err)
		}
		why, code := reason(body)
		total++
		mark := "ok"
		if status != s.status || (s.code != "" && code != s.code) {
			mark = "NOT AS EXPECTED"
		} else {
			good++
		}
		fmt.Fprintf(table, "%s\t%s %s\t%d %s\t%d %s %s\t%s\n", s.what, s.method, s.target, s.status, s.code, status, code, mark, why)
	}
	return good, total, table.Flush()
}

// mint asks the local issuer for a token.
func mint(ctx context.Context, form url.Values) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, issuerURL+"/mint?"+form.Encode(), nil)
	if err != nil {
		return "", err
	}
	client := &http.Client{Timeout: 5 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("mint a token: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return "", fmt.Errorf("mint a token: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("mint a token: %s: %s", resp.Status, strings.TrimSpace(string(body)))
	}
	return strings.TrimSpace(string(body)), nil
}

// send writes the request line by hand, since HTTP clients tidy the paths that this demo is about.
func send(ctx context.Context, method, target, token string) (status int, body []byte, err error) {
	var d net.Dialer
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := d.DialContext(ctx, "tcp", proxyAddr)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if end, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(end); err != nil {
			return 0, nil, err
		}
	}
	authorization := ""
	if token != "" {
		authorization = "Authorization: Bearer " + token + "\r\n"
	}
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: orders.example.com\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n", method, target, authorization); err != nil {
		return 0, nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, body, err
}

// reason makes one sentence of an answer's body, and the code of a problem body.
func reason(body []byte) (why, code string) {
	var p struct {
		Code      string   `json:"code"`
		Detail    string   `json:"detail"`
		Missing   []string `json:"missing"`
		Scopes    []string `json:"required_scope"`
		Fault     string   `json:"fault"`
		Principal struct {
			Name string `json:"name"`
		} `json:"principal"`
	}
	if json.Unmarshal(body, &p) != nil {
		return strings.TrimSpace(string(body)), ""
	}
	switch {
	case len(p.Scopes) > 0:
		why = fmt.Sprintf("%s needs scope %s", p.Principal.Name, strings.Join(p.Scopes, " or "))
	case len(p.Missing) > 0:
		why = fmt.Sprintf("%s lacks %s", p.Principal.Name, strings.Join(p.Missing, ", "))
	case p.Fault != "":
		why = p.Fault
	default:
		why, _, _ = strings.Cut(p.Detail, ". ")
	}
	return why, p.Code
}

// showRecords prints the newest decision records, as the admin API returns them.
func showRecords(ctx context.Context, out io.Writer) (err error) {
	conn, err := grpc.NewClient(adminAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	time.Sleep(300 * time.Millisecond) // records are written in batches, at most 100 ms after the answer
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	resp, err := verdictv1.NewAuditServiceClient(conn).ListDecisions(ctx, &verdictv1.ListDecisionsRequest{PageSize: 50})
	if err != nil {
		return fmt.Errorf("list the decision records: %w", err)
	}
	fmt.Fprintf(out, "\nDecision records (grpcurl -plaintext %s verdict.v1.AuditService/ListDecisions):\n", adminAddr)
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "TIME\tEFFECT\tREASON\tPRINCIPAL\tREQUEST\tGRANTS\tREVISION")
	for _, d := range resp.GetDecisions() {
		request := d.GetMethod() + " " + d.GetTemplate()
		if d.GetTemplate() == "" {
			request = d.GetMethod() + " " + d.GetRawPath()
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%d\n", d.GetTime().AsTime().Format("15:04:05.000"),
			strings.TrimPrefix(d.GetEffect().String(), "EFFECT_"), strings.TrimPrefix(d.GetReason().String(), "REASON_"),
			orDash(d.GetPrincipalId()), strings.TrimSpace(request), orDash(strings.Join(d.GetGrants(), ",")), d.GetRevision())
	}
	return table.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

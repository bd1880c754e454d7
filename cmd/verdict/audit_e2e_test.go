package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// An operator asks a verdict that runs: what was decided, as it happens, why, how often, and who may do what.
func TestAuditOfARunningVerdict(t *testing.T) {
	v := startDev(t)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	var tailed, tailErrs output
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"audit", "tail", "--admin", v.admin, "--since", "1h", "--json", "--limit", "3", "--api", "orders"}, nil, &tailed, &tailErrs)
	}()

	allowed := v.askOrders(t, "alice", "GET", "/orders/42")
	denied := v.askOrders(t, "mallory", "GET", "/orders/42")
	v.records(t, &verdictv1.ListDecisionsRequest{Api: "orders"}, 2)

	_, list, errs := askAuditAt(t, v.admin, "list", "--effect", "deny", "--reason", "no-grant")
	if !strings.Contains(list, denied) || strings.Contains(list, allowed) {
		t.Errorf("list:\n%s%s", list, errs)
	}
	if _, got, errs := askAuditAt(t, v.admin, "get", allowed); !strings.Contains(got, "readers-read") {
		t.Errorf("get:\n%s%s", got, errs)
	}
	_, why, errs := askAuditAt(t, v.admin, "explain", denied)
	for _, want := range []string{denied + ": deny NO_GRANT", "GET orders/read", "orders.read", "today: deny NO_GRANT"} {
		if !strings.Contains(why, want) {
			t.Errorf("explain: no %q in\n%s%s", want, why, errs)
		}
	}
	_, sum, errs := askAuditAt(t, v.admin, "summary", "--by", "route", "--since", "1h")
	if !strings.Contains(sum, "orders/read        1       1") {
		t.Errorf("summary:\n%s%s", sum, errs)
	}
	if _, changes, errs := askAuditAt(t, v.admin, "changes"); !strings.Contains(changes, "the example policy of verdict dev") {
		t.Errorf("changes:\n%s%s", changes, errs)
	}

	// What is decided while somebody follows is there too, each once.
	last := v.askOrders(t, "bob", "GET", "/orders")
	select {
	case code := <-ended:
		if code != exitOK {
			t.Fatalf("tail ends with %d: %s", code, tailErrs.String())
		}
	case <-ctx.Done():
		t.Fatalf("tail does not end: %s%s", tailed.String(), tailErrs.String())
	}
	var ids []string
	for line := range strings.Lines(tailed.String()) {
		var d struct{ ID string }
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		ids = append(ids, d.ID)
	}
	if strings.Join(ids, " ") != strings.Join([]string{allowed, denied, last}, " ") {
		t.Errorf("tail has %v, want %v", ids, []string{allowed, denied, last})
	}
	v.reviewed(t)
}

// reviewed makes an access review of the example policy.
func (v *verdict) reviewed(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	sheet, page := filepath.Join(dir, "review.csv"), filepath.Join(dir, "review.html")
	code, out, errs := askAuditAt(t, v.admin, "review", "--csv", sheet, "--html", page, "--organisation", "Contoso")
	if code != exitOK || !strings.Contains(out, "4 grants, ") {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	for file, wants := range map[string][]string{
		sheet: {",Orders writers,writers-all,allow,orders.*,orders.delete orders.read orders.write,", ",nobody-deletes,deny,"},
		page:  {"Contoso", "Orders writers", "<bdi>nobody-deletes</bdi>", "Orders are kept for ten years"},
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s: no %q", filepath.Base(file), want)
			}
		}
	}
	if code, _, errs := askAuditAt(t, v.admin, "review", "--api", "odrers"); code != exitFailed || !strings.Contains(errs, `api "odrers"`) {
		t.Errorf("%d %s", code, errs)
	}
}

// askOrders asks whether somebody may, and returns the id of the decision.
func (v *verdict) askOrders(t *testing.T, user, method, path string) string {
	t.Helper()
	resp, err := v.decisions(t).Check(t.Context(), &verdictv1.CheckRequest{
		Token:    v.mint(t, "user", user),
		Question: &verdictv1.CheckRequest_Http{Http: &verdictv1.HttpRequest{Method: method, Host: "orders.example.com", Path: path}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetDecisionId()
}

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

// example is the example policy as a message.
func example(t *testing.T) *verdictv1.Policy {
	t.Helper()
	document, err := yaml.YAMLToJSONStrict(examplePolicy)
	if err != nil {
		t.Fatal(err)
	}
	p := &verdictv1.Policy{}
	if err := protojson.Unmarshal(document, p); err != nil {
		t.Fatal(err)
	}
	return p
}

func aliceReads(t *testing.T, v *verdict) *verdictv1.CheckRequest {
	t.Helper()
	return &verdictv1.CheckRequest{
		Token:    v.mint(t, "user", "alice"),
		Question: &verdictv1.CheckRequest_Http{Http: &verdictv1.HttpRequest{Method: "GET", Host: "orders.example.com", Path: "/orders/42"}},
	}
}

func TestServeNeedsAMigratedStore(t *testing.T) {
	url := pgtest.NewEmpty(t)
	serve := func() string {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"serve", "--store", url, "--tenant", "11111111-1111-4111-8111-111111111111",
			"--authority", "http://127.0.0.1:1", "--decision-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0"}, nil, &out, &errs); code != exitFailed {
			t.Errorf("exit %d", code)
		}
		return errs.String()
	}
	if said := serve(); !strings.Contains(said, "verdict migrate") {
		t.Errorf("does not say what to do: %s", said)
	}
	for _, want := range []string{"now at version", "already at version"} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"migrate", "--store", url}, nil, &out, &errs); code != exitOK || !strings.Contains(out.String(), want) {
			t.Errorf("migrate: exit %d, no %q in %s%s", code, want, out.String(), errs.String())
		}
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"migrate", "--status", "--store", url}, nil, &out, &errs); code != exitOK || !strings.Contains(out.String(), "applied ") || strings.Contains(out.String(), "pending") {
		t.Errorf("status: exit %d, %s%s", code, out.String(), errs.String())
	}
}

func TestAnUnreachableDatabaseIsAClearError(t *testing.T) {
	began := time.Now()
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"serve", "--store", "postgres://verdict:hunter2@127.0.0.1:1/none", "--tenant", "11111111-1111-4111-8111-111111111111"}, nil, &out, &errs)
	if code != exitFailed || !strings.Contains(errs.String(), "--store:") || !strings.Contains(errs.String(), "is the database up?") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
	if strings.Contains(errs.String(), "hunter2") {
		t.Error("the password was printed")
	}
	if took := time.Since(began); took > 2*openTimeout {
		t.Errorf("took %s", took)
	}
}

// Two replicas on one Postgres: a change by one is decided on by the other, and both go on without the database.
func TestReplicasFollowAndOutliveTheDatabase(t *testing.T) {
	server := pgtest.Start(t)
	url := server.New(t)
	one := startServe(t, url, "--audit-queue=8", "--audit-batch=4")
	applied, err := one.policies(t).ApplyPolicy(t.Context(), &verdictv1.ApplyPolicyRequest{Policy: example(t)})
	if err != nil {
		t.Fatal(err)
	}
	one.awaitServing(t)
	two := startServe(t, url)
	two.awaitServing(t)

	ask := aliceReads(t, two)
	ask.MinRevision = applied.GetRevision()
	if resp, err := two.decisions(t).Check(t.Context(), ask); err != nil || resp.GetEffect() != verdictv1.Effect_EFFECT_ALLOW {
		t.Fatalf("%v %v", resp, err)
	}
	deleted, err := one.policies(t).DeleteGrant(t.Context(), &verdictv1.DeleteGrantRequest{Id: "readers-read"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.policies(t).DeleteGrant(t.Context(), &verdictv1.DeleteGrantRequest{Id: "writers-all"}); err != nil {
		t.Fatal(err)
	}
	ask.MinRevision = deleted.GetRevision() + 1
	if resp, err := two.decisions(t).Check(t.Context(), ask); err != nil || resp.GetReason() != verdictv1.Reason_REASON_NO_GRANT {
		t.Fatalf("%v %v", resp, err)
	}
	one.records(t, &verdictv1.ListDecisionsRequest{Reason: verdictv1.Reason_REASON_NO_GRANT}, 1) // written by the other

	server.Stop()
	ask = aliceReads(t, one)
	first, err := one.decisions(t).Check(t.Context(), ask)
	if err != nil || first.GetReason() != verdictv1.Reason_REASON_NO_GRANT {
		t.Fatalf("without the database: %v %v", first, err)
	}
	_, err = one.policies(t).DeleteGrant(t.Context(), &verdictv1.DeleteGrantRequest{Id: "nightly-reads"})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("a change without the database: %v", err)
	}
	given := []string{first.GetDecisionId()}
	one.await(t, "full queue", func() bool { // 8 records, and up to a batch on its way
		resp, err := one.decisions(t).Check(t.Context(), ask)
		if err != nil {
			t.Fatal(err)
		}
		if resp.GetReason() == verdictv1.Reason_REASON_AUDIT_UNAVAILABLE {
			return true
		}
		given = append(given, resp.GetDecisionId())
		if len(given) > 100 {
			t.Fatal("a queue of 8 took 100 records without a database")
		}
		return false
	})

	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	list := one.records(t, &verdictv1.ListDecisionsRequest{PageSize: 1000, Reason: verdictv1.Reason_REASON_NO_GRANT}, len(given)+1)
	kept := map[string]bool{}
	for _, d := range list {
		kept[d.GetId()] = true
	}
	for _, id := range given {
		if !kept[id] {
			t.Errorf("decision %s was given and is not recorded", id)
		}
	}
	if code := one.stop(t); code != exitOK {
		t.Errorf("stopped with %d", code)
	}
}

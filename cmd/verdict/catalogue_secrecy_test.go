package main

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// Case 280 of the token catalogue, by the calls that TestSecretsAreNowhere leaves out: batches, lists of
// permissions, credentials in the metadata of a call, and calls that are refused with an error.
func TestSecretsReachNoErrorAndNoOtherAnswer(t *testing.T) {
	const canary = "CANARY0123456789"
	data := t.TempDir()
	v := startDev(t, "--data", data, "--log-level=debug")
	f := newForger(t, v, data)
	unknownKey := *f
	unknownKey.header = `{"alg":"RS256","typ":"JWT","kid":"` + canary + `"}`
	good := f.with(t, "", `,"x":"`+canary+`"`)
	_, payload, signature := segments(good)
	secrets := []string{canary, payload[:24], payload[len(payload)-24:], signature[:24]}
	own := v.decisions(t)
	var said []string
	tell := func(t *testing.T, text string) {
		t.Helper()
		said = append(said, text)
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in %s", secret, text)
			}
		}
	}
	for name, token := range map[string]string{
		"280 a good token":                   good,
		"280 a token of an unknown key":      unknownKey.with(t, "", `,"x":"`+canary+`"`),
		"280 a token that expired":           v.mint(t, "user", "alice", "lifetime", "-1h", "claims", `{"x":"`+canary+`"}`),
		"280 a token with another ending":    good[:len(good)-24] + canary,
		"280 a token that is none":           canary,
		"280 a credential with its scheme":   "Bearer " + good,
		"280 a token with its signature cut": good[:len(good)-24],
	} {
		t.Run(name, func(t *testing.T) {
			ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token, "cookie", canary)
			batch, err := own.BatchCheck(ctx, &verdictv1.BatchCheckRequest{Token: token, Checks: []*verdictv1.CheckRequest{
				get("", "orders.example.com", "/orders/42?code="+canary), get(canary, "orders.example.com", "/orders/42"),
			}})
			if err != nil || len(batch.GetChecks()) != 2 {
				t.Fatalf("batch: %v %v", batch, err)
			}
			tell(t, protojson.Format(batch))
			list, err := own.ListPermissions(ctx, &verdictv1.ListPermissionsRequest{Token: token, Api: "orders"})
			if err != nil {
				t.Fatal(err)
			}
			tell(t, protojson.Format(list))

			wrong := get(token, "orders.example.com", "/orders/42")
			wrong.GetHttp().Method = strings.Repeat("M", 33)
			_, err = own.Check(ctx, wrong)
			if status.Code(err) != codes.InvalidArgument || len(violations(err)) == 0 {
				t.Fatalf("a method of 33 letters: %v", err)
			}
			tell(t, err.Error()+protojson.Format(status.Convert(err).Proto()))
			_, err = v.policies(t).GetApi(ctx, &verdictv1.GetApiRequest{Id: "nowhere"})
			if status.Code(err) != codes.NotFound {
				t.Fatalf("an api that is not there: %v", err)
			}
			tell(t, err.Error()+protojson.Format(status.Convert(err).Proto()))
		})
	}
	records := v.records(t, &verdictv1.ListDecisionsRequest{PageSize: 1000}, 3*7)
	for _, d := range records {
		tell(t, protojson.Format(d))
	}
	_, metrics := v.get(t, "/metrics")
	tell(t, metrics)
	v.stop(t)
	tell(t, v.errs.String()+v.out.String())
	if len(said) != 7*4+len(records)+2 {
		t.Errorf("only %d texts were looked at", len(said))
	}
}

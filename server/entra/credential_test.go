package entra

import (
	"testing"

	"github.com/verdict-authz/verdict/server/policy"
)

func TestCredential(t *testing.T) {
	for value, want := range map[string]struct {
		token  string
		reason policy.Reason
	}{
		"Bearer x":    {token: "x"},
		"bEARER   x":  {token: "x"},
		"Bearer x y":  {token: "x y"}, // Verify refuses it
		"":            {reason: policy.TokenMissing},
		"Bearer":      {reason: policy.TokenMalformed},
		"Bearer  ":    {reason: policy.TokenMalformed},
		"Bearer\tx":   {reason: policy.TokenMalformed},
		" Bearer x":   {reason: policy.TokenMalformed},
		"Bearer x,":   {reason: policy.HeaderAmbiguous},
		",":           {reason: policy.HeaderAmbiguous},
		"Basic x":     {reason: policy.SchemeUnsupported},
		"Bearers x":   {reason: policy.SchemeUnsupported},
		"\u212aearer": {reason: policy.TokenMalformed},
	} {
		token, r := Credential(value)
		if token != want.token || r.Reason != want.reason {
			t.Errorf("%q: %q, %v, want %q, %v", value, token, r.Reason, want.token, want.reason)
		}
	}
}

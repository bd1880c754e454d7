package doctor_test

import (
	"strings"
	"testing"

	"github.com/verdict-authz/verdict/server/doctor"
)

const canary = "CANARY0123456789"

// No token, signature, key id or claim value reaches a report, whatever is wrong; aud, iss, tid, ver, idtyp and azp may,
// quoted and cut.
func TestNothingOfATokenIsTold(t *testing.T) {
	w := newWorld()
	with := func(claim string) edit { return set(claim, canary) }
	tokens := map[string]string{
		"the good one":    forge(with("name"), with("uti"), with("sid"), with("sub"), with("preferred_username"), set("roles", []string{canary}), with("scp")),
		"a spoilt one":    forge(with("oid"), with("appid"), with("azpacr"), with("tfp"), with("acr"), set("wids", []string{canary}), with("exp")),
		"a key id":        forge(hdr("kid", canary)),
		"no key id":       forge(hdr("kid", canary+"/")),
		"another alg":     forge(hdr("alg", canary)),
		"another typ":     forge(hdr("typ", canary)),
		"header members":  forge(hdr(canary, canary), hdr("x5t", canary), hdr("jku", "https://"+canary)),
		"a claim's name":  forge(set(canary, 1), more(`,"`+canary+`":1,"`+canary+`":2`)),
		"groups":          forge(set("groups", []string{canary})),
		"groups, broken":  forge(set("groups", []any{canary, 1})),
		"overage":         forge(del("groups"), set("_claim_names", object{"groups": canary}), set("_claim_sources", object{canary: object{"endpoint": "https://" + canary}})),
		"bound":           forge(set("cnf", object{"kid": canary})),
		"not a token":     canary,
		"nearly a token":  canary + "." + canary + "." + canary,
		"behind a scheme": "Bearer " + canary,
		"a long word":     strings.Repeat(canary, 5000),
		"claims, broken":  forge(raw(`{"x":"` + canary)),
		"times":           forge(set("exp", canary), set("iat", canary), set("nbf", canary)),
		"lists":           forge(with("roles"), with("wids"), set("acrs", object{canary: canary}), with("_claim_names"), with("hasgroups")),
	}
	for name, token := range tokens {
		t.Run(name, func(t *testing.T) {
			all := told(t, examine(t, w.config(), token))
			if strings.Contains(all, canary) {
				t.Errorf("the canary is in\n%s", all)
			}
			for _, part := range strings.Split(token, ".") {
				if len(part) >= 12 && strings.Contains(all, part[:12]) {
					t.Errorf("a piece of the token is in\n%s", all)
				}
			}
			for _, id := range []string{kid, kidSecond, kidV1} {
				if strings.Contains(all, id) {
					t.Errorf("a key id is in\n%s", all)
				}
			}
		})
	}
	for _, hit := range w.hits {
		if !strings.HasPrefix(hit, authority+"/"+tenant+"/") || strings.Contains(hit, canary) {
			t.Errorf("went to %s", hit)
		}
	}
}

// What may be shown is quoted and cut, so that it cannot pass for the doctor's own words or drive a terminal.
func TestWhatIsShownIsQuoted(t *testing.T) {
	for _, claim := range []string{"aud", "iss", "tid", "ver", "idtyp"} {
		r := examine(t, newWorld().config(), forge(set(claim, "x\x1b[2J\nok      verdict      accepted\u202e"+strings.Repeat("y", 500))))
		all := told(t, r)
		if strings.ContainsAny(all, "\x1b\u202e") || strings.Contains(all, "\nok      verdict") || strings.Contains(all, strings.Repeat("y", 200)) {
			t.Errorf("%s is shown as it is:\n%s", claim, all)
		}
		if r.Result != doctor.Fail {
			t.Errorf("%s: %s", claim, r.Result)
		}
	}
}

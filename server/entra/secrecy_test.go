package entra

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/verdict-authz/verdict/server/policy"
)

const canary = "CANARY0123456789"

// No token, key id or claim text reaches a detail, a status or a log, whatever is wrong with the token.
func TestNothingOfATokenIsTold(t *testing.T) {
	w := newWorld(t, nil)
	w.handle("/"+tenantT2+"/discovery/v2.0/keys", answer(`{"keys":[]}`))
	_ = w.Refresh(t.Context()) // T2 fails, so that problems are told too
	var told bytes.Buffer
	log := slog.New(slog.NewTextHandler(&told, nil))
	with := func(name string) edit { return set(name, canary) }
	for _, token := range []string{
		forge(hdr("kid", canary)), forge(hdr("kid", canary+"/")), forge(hdr("alg", canary)), forge(hdr("typ", canary)),
		forge(hdr(canary, 1), by(keyRogue())), forge(with("iss")), forge(with("aud")), forge(with("tid")), forge(with("oid")), forge(with("azp")),
		forge(with("ver")), forge(with("idtyp")), forge(with("roles")), forge(with("exp")), forge(with("_claim_names")),
		forge(more(`,"` + canary + `":1,"` + canary + `":2`)), forge(more(`,"x":"` + canary)), forge(set("groups", []any{canary, 1})),
		forge(set("tid", tenantT2), set("iss", issuerOf(tenantT2)), with("name"), hdr("kid", canary)),
		forge(with("name"), by(keyRogue())), canary, canary + ".x.y",
	} {
		tok, r := w.ask(token)
		if r.OK() {
			t.Fatal("a spoilt token passed")
		}
		log.Info("x", "refusal", r, "token", tok)
		fmt.Fprintf(&told, "%+v %#v %s\n", r, r, r.Detail)
	}
	tok := w.mustPass(t, forge(with("name"), with("uti"), with("sid"), with("scp")))
	log.Info("x", "token", tok, "value", *tok)
	fmt.Fprintf(&told, "%v %+v %#v %s %v\n", tok, tok, tok, tok, *tok)
	fmt.Fprintf(&told, "%+v\n", w.Status())
	if all := told.String() + w.logs.String(); strings.Contains(all, canary) {
		t.Errorf("the canary is in: %s", all)
	}
	if !strings.Contains(w.logs.String(), "no usable key") {
		t.Error("the failed refresh was not logged")
	}
}

// Every detail says something, in printable ASCII that fits a quoted string of WWW-Authenticate, and says it once.
func TestRefusalsAreFitForAHeader(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range []Refusal{
		noCredential, severalValues, otherScheme, badSeparator, emptyCredential, tooLarge, notBase64URL, notThreeSegments,
		encrypted, emptySegment, notStrictBase64, headerNotJSON, headerDuplicate, headerName, algMissing, algType, algOther,
		critPresent, forbiddenMember, typOther, nonceHeader, kidMissing, kidInvalid, x5tMismatch, claimsNotJSON, claimDuplicate,
		claimType, claimText, claimMissing, tenantMalformed, tenantUnknown, tenantCase, keyUnknown, keysUnavailable,
		signatureInvalid, issuerTenant, issuerUntrusted, keyIssuerMismatch, cloudMismatch, noAudience, audienceMismatch, expired,
		notYetValid, timesContradict, lifetimeExcessive, versionMismatch, idToken, idtypMissing, idtypOther, userWithoutScope,
		appWithScope, appWithoutRoles, clientsDiffer, identifierNotGUID, subjectMissing, clientNotAllowed, bindingRequired,
		groupsMalformed, algNotOfProvider, keyDenied, clientPublic, guestRefused, requiredClaim, mappedIdentifier, mappedSubjectMissing,
	} {
		if r.OK() || r.Reason == policy.ReasonNone || r.Detail == "" || seen[r.Detail] {
			t.Errorf("%v %q", r.Reason, r.Detail)
		}
		seen[r.Detail] = true
		if strings.ContainsFunc(r.Detail, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) {
			t.Errorf("%q does not fit a header", r.Detail)
		}
	}
}

// The scratch that served a token holds nothing of it afterwards.
func TestScratchIsCleared(t *testing.T) {
	s := new(scratch)
	seg, r := s.guard(forge(set("name", canary)))
	if !r.OK() {
		t.Fatal(r)
	}
	if r := s.json.readClaims(&s.claims, seg.payload); !r.OK() {
		t.Fatal(r)
	}
	payload := s.payload
	s.free()
	if bytes.Contains(payload[:cap(payload)], []byte(canary)) {
		t.Error("the payload is still there")
	}
	var fresh claims
	got := s.claims
	got.roles, got.wids, got.acrs, got.xms, got.groups = nil, nil, nil, nil, nil
	if !reflect.DeepEqual(got, fresh) {
		t.Error("claims are still there")
	}
}

// The fetcher sends what it needs and nothing else.
func TestFetchSendsNoCredentials(t *testing.T) {
	w := newWorld(t, nil)
	var got http.Header
	path := "/" + tenantT + "/v2.0/.well-known/openid-configuration"
	next := w.docs[path]
	w.handle(path, func(rw http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		next(rw, r)
	})
	if err := w.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got.Get("Authorization") != "" || got.Get("Cookie") != "" || got.Get("Accept") != "application/json" {
		t.Errorf("sent %v", got)
	}
}

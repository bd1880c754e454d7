package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/verdict-authz/verdict/server/issuer"
)

const ordersAudience = "22222222-2222-4222-8222-222222222222"

// examined runs verdict doctor against an issuer, with a token from a file unless it is empty.
func examined(t *testing.T, base, token string, args ...string) (code int, out, errs string) {
	t.Helper()
	args = append([]string{"doctor", "--authority", base, "--tenant", issuer.DevTenant, "--audience", ordersAudience}, args...)
	if token != "" {
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--token-file", file)
	}
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), args, nil, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestDoctor(t *testing.T) {
	v := &verdict{issuer: startIssuer(t)}
	for name, tc := range map[string]struct {
		token []string // of the issuer; nil: none
		args  []string
		code  int
		want  []string
	}{
		"the authority alone": {code: exitOK, want: []string{"ok      keys", "nothing fails"}},
		"a good token":        {token: []string{"user", "alice"}, code: exitOK, want: []string{"ok      verdict", "the token is accepted"}},
		"an application":      {token: []string{"app", "nightly"}, code: exitOK, want: []string{"ok      verdict"}},
		"a token of another api": {
			token: []string{"user", "alice", "audience", "api://" + ordersAudience}, code: exitFailed,
			want: []string{"FAIL    audience", "fix:", "verdict refuses this token with AUDIENCE_MISMATCH"},
		},
		"a v1 token":              {token: []string{"user", "alice", "version", "1.0"}, code: exitFailed, want: []string{"FAIL    version", "requestedAccessTokenVersion"}},
		"a v1 token, accepted":    {token: []string{"user", "alice", "version", "1.0"}, args: []string{"--accept-v1-tokens"}, code: exitOK, want: []string{"ok      verdict"}},
		"without idtyp":           {token: []string{"user", "alice", "claims", `{"idtyp":null}`}, code: exitFailed, want: []string{"FAIL    type", "include_user_token"}},
		"without idtyp, accepted": {token: []string{"user", "alice", "claims", `{"idtyp":null}`}, args: []string{"--allow-missing-idtyp"}, code: exitOK},
		"an expired token":        {token: []string{"user", "alice", "lifetime", "-70s"}, code: exitFailed, want: []string{"FAIL    times"}},
		"expired within the skew": {token: []string{"user", "alice", "lifetime", "-70s"}, args: []string{"--clock-skew=300s"}, code: exitOK, want: []string{"warn    times"}},
	} {
		t.Run(name, func(t *testing.T) {
			token := ""
			if tc.token != nil {
				token = v.mint(t, tc.token...)
			}
			code, out, errs := examined(t, v.issuer, token, tc.args...)
			if code != tc.code || errs != "" {
				t.Errorf("exit %d, want %d:\n%s%s", code, tc.code, out, errs)
			}
			for _, want := range tc.want {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			if token != "" {
				for part := range strings.SplitSeq(token, ".") {
					if strings.Contains(out, part[:16]) {
						t.Errorf("a piece of the token is in\n%s", out)
					}
				}
			}
		})
	}
}

func TestDoctorAsJSON(t *testing.T) {
	v := &verdict{issuer: startIssuer(t)}
	code, out, _ := examined(t, v.issuer, v.mint(t, "user", "alice", "audience", "44444444-4444-4444-8444-444444444444"), "--json")
	var said struct {
		Result, Reason string
		Steps          []struct{ Name, Status, Checked, Found, Cause, Fix string }
	}
	if err := json.Unmarshal([]byte(out), &said); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if code != exitFailed || said.Result != "fail" || said.Reason != "AUDIENCE_MISMATCH" || len(said.Steps) < 20 {
		t.Errorf("exit %d, %+v", code, said)
	}
	for _, s := range said.Steps {
		if s.Name == "" || s.Checked == "" || (s.Status == "fail" && (s.Cause == "" || s.Fix == "")) {
			t.Errorf("%+v", s)
		}
	}
}

// A token comes from standard input or a file. Given anywhere else it is refused, and not repeated.
func TestDoctorTakesNoTokenAsArgument(t *testing.T) {
	const token = "eyJhbGciOiJSUzI1NiJ9.eyJuYW1lIjoiQ0FOQVJZIn0.c2ln"
	base := startIssuer(t)
	for name, args := range map[string][]string{
		"after --token":            {"--token", token},
		"with --token=":            {"--token=" + token},
		"as an argument":           {token},
		"behind --":                {"--", token},
		"two sources":              {"--token", "-", "--token-file", "x"},
		"a file that is not there": {"--token-file", filepath.Join(t.TempDir(), "none")},
		"a tenant by name":         {"--tenant=contoso"},
		"a skew too large":         {"--clock-skew=10m"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := examined(t, base, "", args...)
			if code != exitUsage || errs == "" {
				t.Errorf("exit %d: %s%s", code, out, errs)
			}
			if strings.Contains(out+errs, "eyJ") {
				t.Errorf("the token was printed: %s%s", out, errs)
			}
		})
	}
	for _, variable := range []string{"VERDICT_TOKEN=" + token, "VERDICT_TOKEN_FILE=/dev/null"} {
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"doctor"}, []string{variable}, &out, &errs)
		if code != exitUsage || !strings.Contains(errs.String(), "no such setting") || strings.Contains(errs.String(), "eyJ") {
			t.Errorf("%s was taken: %d %s", variable[:13], code, errs.String())
		}
	}
}

func TestDoctorReadsStandardInput(t *testing.T) {
	v := &verdict{issuer: startIssuer(t)}
	for name, tc := range map[string]struct {
		stdin string
		err   error
		want  string
	}{
		"a token and a line break":    {v.mint(t, "user", "alice") + "\n", nil, "ok      verdict"},
		"a token and a Windows one":   {v.mint(t, "user", "alice") + "\r\n", nil, "ok      verdict"},
		"nothing":                     {"", errExamined, "FAIL    shape"},
		"two line breaks":             {v.mint(t, "user", "alice") + "\n\n", errExamined, "a space or a line break"},
		"a header instead of a token": {"Bearer " + v.mint(t, "user", "alice"), errExamined, "it begins with Bearer"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			c := &doctorCmd{Audience: []string{ordersAudience}, ClockSkew: 60e9, Token: "-"}
			c.Authority, c.Tenant = v.issuer, []string{issuer.DevTenant}
			err := c.Run(&surroundings{ctx: t.Context(), stdin: strings.NewReader(tc.stdin), stdout: &out, log: slog.New(slog.DiscardHandler)})
			if !errors.Is(err, tc.err) || !strings.Contains(out.String(), tc.want) {
				t.Errorf("%v, no %q in\n%s", err, tc.want, out.String())
			}
		})
	}
	c := &doctorCmd{Audience: []string{ordersAudience}, ClockSkew: 60e9, Token: "-"}
	c.Authority, c.Tenant = v.issuer, []string{issuer.DevTenant}
	err := c.Run(&surroundings{ctx: t.Context(), stdin: strings.NewReader(strings.Repeat("x", maxTokenInput+1)), stdout: &bytes.Buffer{}})
	if err == nil || !strings.Contains(err.Error(), "that is no token") {
		t.Errorf("%v", err)
	}
}

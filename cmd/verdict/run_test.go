package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// A configuration that cannot work is told whole, before anything is started.
func TestBadConfigurationIsToldAtOnce(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const tenant = "--tenant=11111111-1111-4111-8111-111111111111"
	for name, tc := range map[string]struct {
		args []string
		env  []string
		want []string // all of these, each on a line of its own
	}{
		"an unknown flag": {args: []string{"serve", "--sotre=x"}, want: []string{"unknown flag --sotre"}},
		"an unknown variable names the nearest": {
			args: []string{"version"}, env: []string{"VERDICT_AUDIT_QUEU=1", "VERDICT_TEST_POSTGRES=x", "HOME=/"},
			want: []string{"VERDICT_AUDIT_QUEU: no such setting; did you mean VERDICT_AUDIT_QUEUE?"},
		},
		"no store and no tenant": {args: []string{"serve"}, want: []string{"--store: none given", "--tenant: none given; no token could be accepted"}},
		"two stores":             {args: []string{"serve", tenant, "--store=sqlite:x", "--store-file=y"}, want: []string{"--store, --store-file: give one of them"}},
		"an empty store file":    {args: []string{"serve", tenant, "--store-file=" + empty}, want: []string{"--store-file: " + empty + " is empty"}},
		"half a TLS setting": {
			args: []string{"serve", tenant, "--store=sqlite:x", "--decision-tls-cert=a", "--admin-tls-client-ca=b"},
			want: []string{"--decision-tls-cert, --decision-tls-key: give both or neither", "--admin-tls-client-ca: client certificates need --admin-tls-cert and --admin-tls-key"},
		},
		"plaintext beyond loopback": {
			args: []string{"serve", tenant, "--store=sqlite:x", "--decision-listen=0.0.0.0:7300"},
			want: []string{"--decision-listen: \"0.0.0.0:7300\" is reachable from other machines and has no TLS"},
		},
		"administration beyond loopback, whatever else is set": {
			args: []string{"serve", tenant, "--store=sqlite:x", "--admin-listen=0.0.0.0:7301", "--insecure-plaintext"},
			want: []string{"--admin-listen: \"0.0.0.0:7301\" is reachable from other machines; callers of the admin API are not authenticated yet"},
		},
		"health and metrics beyond loopback": {
			args: []string{"serve", tenant, "--store=sqlite:x", "--http-listen=0.0.0.0:7302"},
			want: []string{"--http-listen: \"0.0.0.0:7302\" is reachable from other machines and has no TLS; give --http-tls-cert and --http-tls-key, or --insecure-plaintext"},
		},
		"TLS for health and metrics that are not served": {
			args: []string{"serve", tenant, "--store=sqlite:x", "--http-listen=", "--http-tls-cert=a", "--http-tls-key=b"}, want: []string{"--http-listen: empty"},
		},
		"half a TLS setting of health and metrics": {
			args: []string{"serve", tenant, "--store=sqlite:x", "--http-tls-key=b"}, want: []string{"--http-tls-cert, --http-tls-key: give both or neither"},
		},
		"several things at once": {
			args: []string{"serve", "--store=sqlite:x", "--clock-skew=1h", "--revocation-max-age=0s", "--audit-queue=0", "--admin-listen=nowhere"},
			want: []string{"--tenant: none given", "--clock-skew: 1h0m0s is not within", "--revocation-max-age: 0s is not within", "--audit-queue, --audit-batch:", "--admin-listen: \"nowhere\": give host:port"},
		},
		"a spool of no size": {
			args: []string{"serve", "--store=sqlite:x", "--spool=s", "--spool-size=2GB", "--clock-skew=1h"},
			want: []string{"--tenant: none given", "--clock-skew: 1h0m0s is not within", `--spool-size: "2GB" is no size; give a whole number`},
		},
		"a spool that holds nothing":        {args: []string{"dev", "--spool-size=63KiB"}, want: []string{"--spool-size: 63KiB is less than 64KiB"}},
		"a durability that memory has not":  {args: []string{"serve", tenant, "--store=sqlite:x", "--audit-durability=strict"}, want: []string{"--audit-durability strict, --spool-size: they are about the spool; give --spool too"}},
		"the size of a spool there is none": {args: []string{"serve", tenant, "--store=sqlite:x", "--spool-size=1GiB"}, want: []string{"give --spool too"}},
		"a store of another kind":           {args: []string{"serve", tenant, "--store=mysql://user:hunter2@host/db"}, want: []string{"--store: neither postgres://user@host/db nor sqlite:PATH"}},
		"a tenant that is no GUID":          {args: []string{"serve", "--tenant=contoso", "--store=sqlite:" + filepath.Join(t.TempDir(), "v.db")}, want: []string{"contoso"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			if code := run(t.Context(), tc.args, tc.env, &out, &errs); code == exitOK {
				t.Error("was taken")
			}
			for _, want := range tc.want {
				if !hasLine(errs.String(), want) {
					t.Errorf("no line with %q in:\n%s", want, errs.String())
				}
			}
			if strings.Contains(errs.String()+out.String(), "hunter2") {
				t.Error("a password was printed")
			}
		})
	}
}

func hasLine(text, want string) bool {
	for line := range strings.Lines(text) {
		if strings.Contains(line, want) {
			return true
		}
	}
	return false
}

func TestHelpAndVersion(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"without a command there is help":  {nil, "Usage: verdict <command>"},
		"help lists the commands":          {[]string{"--help"}, "migrate"},
		"help of serve names the variable": {[]string{"serve", "--help"}, "$VERDICT_AUDIT_QUEUE"},
		"version is one line":              {[]string{"version"}, "verdict devel"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			if code := run(t.Context(), tc.args, nil, &out, &errs); code != exitOK {
				t.Errorf("exit %d: %s", code, errs.String())
			}
			if !strings.Contains(out.String(), tc.want) {
				t.Errorf("no %q in:\n%s", tc.want, out.String())
			}
		})
	}
}

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{
		"64KiB": 64 << 10, "1MiB": 1 << 20, defaultSpoolSize: 2 << 30, "8589934591GiB": 8589934591 << 30,
		"63KiB": 0, "8589934592GiB": 0, "-1GiB": 0, "1.5GiB": 0, "1": 0, "GiB": 0, "1 GiB": 0, "1gib": 0, "": 0,
	} {
		if got, err := parseSize(in); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d %v, want %d", in, got, err, want)
		}
	}
}

// The defaults that validation compares with are those of the flags.
func TestSpoolDefaultsAreThoseOfTheFlags(t *testing.T) {
	for field, want := range map[string]string{"SpoolSize": defaultSpoolSize} {
		f, ok := reflect.TypeFor[tuning]().FieldByName(field)
		if !ok || f.Tag.Get("default") != want {
			t.Errorf("%s defaults to %q, want %q", field, f.Tag.Get("default"), want)
		}
	}
}

package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/migrations"
	"github.com/verdict-authz/verdict/server/audit/seal"
	"github.com/verdict-authz/verdict/store"
)

// keygen makes a key pair the way an operator does.
func keygen(t *testing.T) (private string) {
	t.Helper()
	private = filepath.Join(t.TempDir(), "seal.key")
	var out bytes.Buffer
	if err := (&auditKeygenCmd{Out: private}).Run(&surroundings{ctx: t.Context(), stdout: &out}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(private + publicEnding)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := seal.ParsePublicKey(content)
	if err != nil || !strings.Contains(out.String(), seal.KeyID(pub)) {
		t.Fatalf("public key: %v, printed %s", err, out.String())
	}
	return private
}

func TestKeygenMakesAPairAndWritesOverNothing(t *testing.T) {
	private := keygen(t)
	info, err := os.Stat(private)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the private key: %v, %v", info.Mode(), err)
	}
	before, _ := os.ReadFile(private)
	if _, err := seal.ParsePrivateKey(before); err != nil {
		t.Error(err)
	}
	for name, remove := range map[string]string{"both are there": "", "the private key is there": private + publicEnding} {
		if remove != "" {
			if err := os.Remove(remove); err != nil {
				t.Fatal(err)
			}
		}
		var out bytes.Buffer
		if err := (&auditKeygenCmd{Out: private}).Run(&surroundings{ctx: t.Context(), stdout: &out}); err == nil {
			t.Errorf("%s: made another", name)
		}
		if after, _ := os.ReadFile(private); !bytes.Equal(before, after) {
			t.Fatalf("%s: the private key was written over", name)
		}
		if _, err := os.Stat(private + publicEnding); remove != "" && err == nil {
			t.Errorf("%s: a public key without its private one is left", name)
		}
	}
}

// tamper does what triggers are against.
func tamper(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT name FROM sqlite_master WHERE type = 'trigger'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		all = append(all, "DROP TRIGGER "+name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for _, s := range append(all, statements...) {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func TestVerifyNamesWhatIsWrong(t *testing.T) {
	ctx, path, private := t.Context(), filepath.Join(t.TempDir(), "verdict.db"), keygen(t)
	if _, err := migrations.Up(ctx, migrations.Target{SQLitePath: path}); err != nil {
		t.Fatal(err)
	}
	url := sqlitePrefix + path
	log := slog.New(slog.DiscardHandler)
	st, err := openStore(ctx, url, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	yesterday := store.Day(time.Now()).AddDate(0, 0, -1)
	record := func(n int) store.Decision {
		at := yesterday.Add(time.Duration(n) * time.Minute)
		return store.Decision{ID: fmt.Sprintf("%08x-%04x-7000-8000-%012x", at.UnixMilli()>>16, at.UnixMilli()&0xffff, n), At: at,
			PrincipalID: "p", Instance: "verdict-0", Epoch: 1, Seq: uint64(n) + 1}
	}
	var all []store.Decision
	for n := range 120 {
		all = append(all, record(n))
	}
	if err := st.AppendDecisions(ctx, all); err != nil {
		t.Fatal(err)
	}
	content, _ := os.ReadFile(private)
	key, err := seal.ParsePrivateKey(content)
	if err != nil {
		t.Fatal(err)
	}
	copies := filepath.Join(t.TempDir(), "digests")
	folder, err := seal.NewFolder(copies)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := seal.New(st, key, log, seal.Config{Sink: folder, Now: func() time.Time { return yesterday.Add(3*time.Hour + 5*time.Minute) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := sealer.Round(ctx); err != nil {
		t.Fatal(err)
	}
	verify := func(c auditVerifyCmd) (string, error) {
		t.Helper()
		c.Store, c.Key, c.Findings = url, []string{private + publicEnding}, 100
		var out bytes.Buffer
		err := c.Run(&surroundings{ctx: ctx, stdout: &out, log: log})
		return out.String(), err
	}
	if out, err := verify(auditVerifyCmd{Digests: copies}); err != nil || !strings.HasSuffix(out, "\nverified: 120 records, 0 changes, 3 digests, 0 findings\n") ||
		!strings.Contains(out, "copies: 3 digests") {
		t.Fatalf("%v\n%s", err, out)
	}
	tamper(t, path, "DELETE FROM decisions WHERE id = '"+all[7].ID+"'", "UPDATE decisions SET principal_id = 'q' WHERE id = '"+all[70].ID+"'",
		"DELETE FROM digests WHERE number = 3")
	out, err := verify(auditVerifyCmd{All: true, Digests: copies})
	if !errors.Is(err, errExamined) || !strings.HasSuffix(out, "\nverified: 118 records, 0 changes, 2 digests, 3 findings\n") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, line := range []string{"record_missing  " + all[7].ID, "record_edited   " + all[70].ID, "copy_only       digest 3"} {
		if !strings.Contains(out, line) {
			t.Errorf("no %q in\n%s", line, out)
		}
	}
	out, err = verify(auditVerifyCmd{JSON: true, From: moment{yesterday.Add(time.Hour)}})
	var got resultJSON
	if jsonErr := json.Unmarshal([]byte(out), &got); jsonErr != nil || !errors.Is(err, errExamined) {
		t.Fatalf("%v, %v\n%s", err, jsonErr, out)
	}
	if got.OK || got.Found != 1 || got.Findings[0].ID != all[70].ID || got.Findings[0].Kind != seal.RecordEdited || got.Records != 59 {
		t.Errorf("%s", out)
	}
}

func TestVerifyRefusesWhatProvesNothing(t *testing.T) {
	private := keygen(t)
	for name, tc := range map[string]struct {
		cmd  auditVerifyCmd
		want string
	}{
		"no key":                         {auditVerifyCmd{}, "--key: none given"},
		"a private key":                  {auditVerifyCmd{Key: []string{private}}, "PUBLIC KEY"},
		"a key that is not there":        {auditVerifyCmd{Key: []string{private + ".not"}}, "no such file"},
		"an end before the begin":        {auditVerifyCmd{Key: []string{private + publicEnding}, From: moment{time.Unix(9, 0)}, To: moment{time.Unix(8, 0)}}, "--to"},
		"two begins":                     {auditVerifyCmd{Key: []string{private + publicEnding}, All: true, From: moment{time.Unix(9, 0)}}, "--all, --from"},
		"a folder that is not there":     {auditVerifyCmd{Key: []string{private + publicEnding}, Digests: private + ".not"}, "--digests"},
		"a store of a kind nobody knows": {auditVerifyCmd{Key: []string{private + publicEnding}}, "--store"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.cmd.Store, tc.cmd.Findings = "mysql:x", 1
			var out bytes.Buffer
			err := tc.cmd.Run(&surroundings{ctx: t.Context(), stdout: &out, log: slog.New(slog.DiscardHandler)})
			if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "PRIVATE KEY-----") {
				t.Errorf("%v", err)
			}
		})
	}
}

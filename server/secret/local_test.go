package secret_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/secret"
)

// inFile is a Source of a file with this content.
func inFile(t *testing.T, content string, mode os.FileMode, cfg secret.Config) (s *secret.Source, file string, log *bytes.Buffer) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "a secret")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	log = &bytes.Buffer{}
	s, err := secret.NewSource(secret.Ref{Scheme: secret.File, Name: file}, nil, slog.New(slog.NewTextHandler(log, nil)), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, file, log
}

func TestFiles(t *testing.T) {
	for name, tc := range map[string]struct {
		content string
		want    string
		err     string
	}{
		"a line's end is no part of it":    {content: "hunter2\n", want: "hunter2"},
		"nor is one of Windows":            {content: "hunter2\r\n", want: "hunter2"},
		"one line's end and no more":       {content: "hunter2\n\n", want: "hunter2\n"},
		"spaces are part of it":            {content: " hunter2 ", want: " hunter2 "},
		"an empty file holds none":         {content: "", err: "empty"},
		"nor does an empty line":           {content: "\n", err: "empty"},
		"what is too long is no secret":    {content: strings.Repeat("x", secret.MaxSize+1), err: "over 65536 bytes"},
		"what is as long as can be is one": {content: strings.Repeat("x", secret.MaxSize), want: strings.Repeat("x", secret.MaxSize)},
	} {
		t.Run(name, func(t *testing.T) {
			s, file, log := inFile(t, tc.content, 0o600, secret.Config{})
			got, err := s.Get(t.Context())
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) || !strings.Contains(err.Error(), strings.ReplaceAll(file, " ", "%20")) {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil || got.Reveal() != tc.want {
				t.Errorf("%d bytes, %v", len(got.Reveal()), err)
			}
			if log.Len() > 0 {
				t.Errorf("logged: %s", log)
			}
		})
	}
}

func TestAFileThatIsNotThere(t *testing.T) {
	s, file, _ := inFile(t, "hunter2", 0o600, secret.Config{})
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context()); !errors.Is(err, os.ErrNotExist) || strings.Count(err.Error(), filepath.Dir(file)) != 1 {
		t.Errorf("error %v", err)
	}
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "not a file") {
		t.Errorf("a folder: %v", err)
	}
}

func TestAFileIsReadAgain(t *testing.T) {
	s, file, _ := inFile(t, "first\n", 0o600, secret.Config{Every: 10 * time.Millisecond})
	wants(t, s, "first")
	changed := make(chan string, 1)
	s.OnChange(func(v secret.Value) { changed <- v.Reveal() })
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { s.Run(ctx) })
	defer run.Wait()
	defer cancel()

	if err := os.Truncate(file, 0); err != nil { // as a careless writer would
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	wants(t, s, "first")

	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, info.ModTime(), info.ModTime()); err != nil { // nor size nor time tell
		t.Fatal(err)
	}
	select {
	case got := <-changed:
		if got != "other" {
			t.Errorf("got %q", got)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no change was seen")
	}
	wantsPrevious(t, s, "first")
}

func TestAFileThatEveryoneMayReadIsToldOnce(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such modes")
	}
	s, _, log := inFile(t, "hunter2", 0o644, secret.Config{Pause: time.Nanosecond})
	wants(t, s, "hunter2")
	for range 3 {
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "everyone"); n != 1 || strings.Contains(log.String(), "hunter2") {
		t.Errorf("said %d times:\n%s", n, log)
	}
	s, _, log = inFile(t, "hunter2", 0o640, secret.Config{})
	wants(t, s, "hunter2")
	if log.Len() > 0 {
		t.Errorf("a group's file: %s", log)
	}
}

func TestVariables(t *testing.T) {
	t.Setenv("VERDICT_SECRET_SET", "hunter2\n")
	t.Setenv("VERDICT_SECRET_EMPTY", "")
	for name, tc := range map[string]struct{ variable, want, err string }{
		"a variable is taken as it is": {variable: "VERDICT_SECRET_SET", want: "hunter2\n"},
		"an empty one holds none":      {variable: "VERDICT_SECRET_EMPTY", err: "env://VERDICT_SECRET_EMPTY: the variable is empty"},
		"nor does one that is not set": {variable: "VERDICT_SECRET_ABSENT", err: "env://VERDICT_SECRET_ABSENT: the variable is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := secret.NewSource(secret.Ref{Scheme: secret.Env, Name: tc.variable}, nil, slog.New(slog.DiscardHandler), secret.Config{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Get(t.Context())
			if got.Reveal() != tc.want || (err != nil) != (tc.err != "") || err != nil && err.Error() != tc.err {
				t.Errorf("%q, %v", got.Reveal(), err)
			}
		})
	}
}

func TestOpenAll(t *testing.T) {
	t.Setenv("VERDICT_SECRET_A", "alpha")
	discard := slog.New(slog.DiscardHandler)
	parse := func(text string) secret.Ref {
		r, err := secret.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	v := &vault{value: "from the vault"}
	set, err := secret.OpenAll(t.Context(), map[string]secret.Ref{
		"--a": parse("env://VERDICT_SECRET_A"), "--also-a": parse("env://VERDICT_SECRET_A"), "--none": {}, "--v": ref,
	}, secret.Fetchers{secret.AWSSecretsManager: v}, discard, secret.Config{Every: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	wants(t, set.Source("--a"), "alpha")
	wants(t, set.Source("--v"), "from the vault")
	if set.Source("--a") != set.Source("--also-a") || set.Source("--none") != nil || set.Source("--other") != nil {
		t.Error("sources")
	}
	if stats := set.Stats(); len(stats) != 2 || stats[0].Ref != "awssm://db" || stats[0].FetchedAt.IsZero() || stats[1].Ref != "env://VERDICT_SECRET_A" {
		t.Errorf("%+v", stats)
	}
	ctx, cancel := context.WithCancel(t.Context())
	changed := make(chan struct{})
	set.Source("--v").OnChange(func(secret.Value) { close(changed); cancel() })
	v.set("another", nil)
	set.Run(ctx) // ends with the change
	<-changed

	v.set("", errors.New("vault is away"))
	_, err = secret.OpenAll(t.Context(), map[string]secret.Ref{
		"--a": parse("env://VERDICT_SECRET_A"), "--v": ref, "--b": parse("env://VERDICT_SECRET_B"), "--also-b": parse("env://VERDICT_SECRET_B"),
	}, secret.Fetchers{secret.AWSSecretsManager: v}, discard, secret.Config{})
	const want = `--also-b: env://VERDICT_SECRET_B: the variable is not set
--b: env://VERDICT_SECRET_B: the variable is not set
--v: vault is away`
	if err == nil || err.Error() != want {
		t.Errorf("error\n%v\nwant\n%s", err, want)
	}
	if _, err := secret.OpenAll(t.Context(), map[string]secret.Ref{"--v": ref}, nil, discard, secret.Config{}); err == nil || !strings.HasPrefix(err.Error(), "--v: ") {
		t.Errorf("without a fetcher: %v", err)
	}
}

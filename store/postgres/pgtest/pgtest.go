//go:build unix

package pgtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/verdict-authz/verdict/migrations"
)

const (
	// setupTimeout bounds what is done to a database before and after a test, on a machine with much else to do.
	setupTimeout = time.Minute
	// templateLock orders those who make the template on a server that several test binaries share.
	templateLock = 7300_7302
)

// New returns the URL of an empty database with the newest schema. It is dropped when t ends.
func New(t testing.TB) string {
	t.Helper()
	a := require(t)
	template, err := a.template()
	if err != nil {
		t.Fatalf("postgres: make template database: %v", err)
	}
	return a.database(t, template)
}

// NewEmpty returns the URL of a database without tables. It is dropped when t ends.
func NewEmpty(t testing.TB) string {
	t.Helper()
	return require(t).database(t, "template0")
}

// admin makes databases on a server.
type admin struct {
	url      string
	template func() (name string, err error) // made once
}

func newAdmin(url string) *admin {
	a := &admin{url: url}
	a.template = sync.OnceValues(a.makeTemplate)
	return a
}

// errAbsent says that there is no Postgres to be had.
var errAbsent = errors.New("no postgres")

// sharedServer is kept here, since the server ends when the pipe to it is collected.
var sharedServer *Server //nolint:unused // held, not read

var shared = sync.OnceValues(func() (*admin, error) {
	if url := os.Getenv("VERDICT_TEST_POSTGRES"); url != "" {
		return newAdmin(url), nil
	}
	s, err := start("fsync=off", "synchronous_commit=off", "full_page_writes=off")
	if err != nil {
		return nil, err
	}
	sharedServer = s
	return newAdmin(s.URL()), nil
})

func require(t testing.TB) *admin {
	t.Helper()
	a, err := shared()
	absent(t, err)
	return a
}

// absent skips or fails t when err is not nil.
func absent(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, errAbsent) && !slices.Contains(strings.Split(os.Getenv("VERDICT_TEST_REQUIRE"), ","), "postgres"):
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}

// database makes a clone of template for t.
func (a *admin) database(t testing.TB, template string) string {
	t.Helper()
	name := "verdict_" + strings.ToLower(rand.Text()[:16])
	if err := a.exec(fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", name, template)); err != nil {
		t.Fatalf("postgres: create database: %v", err)
	}
	t.Cleanup(func() {
		if err := a.exec(fmt.Sprintf("DROP DATABASE %s WITH (FORCE)", name)); err != nil && !t.Failed() {
			t.Errorf("postgres: drop database: %v", err)
		}
	})
	return withDatabase(a.url, name)
}

func (a *admin) exec(statements ...string) error {
	return a.with(func(ctx context.Context, conn *pgx.Conn) error {
		for _, s := range statements {
			if _, err := conn.Exec(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *admin) with(f func(ctx context.Context, conn *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, a.url)
	if err != nil {
		return err
	}
	return errors.Join(f(ctx, conn), conn.Close(ctx))
}

// makeTemplate migrates a database that New then clones. Its name tells the migrations it was made by, so that a server
// that outlives the test keeps it for the next one.
func (a *admin) makeTemplate() (string, error) {
	sum, err := migrationsSum()
	if err != nil {
		return "", err
	}
	name := "verdict_template_" + sum
	making := name + "_making"
	return name, a.with(func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", templateLock); err != nil { // until conn closes
			return err
		}
		var there bool
		err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there)
		if err != nil || there {
			return err
		}
		for _, s := range []string{"DROP DATABASE IF EXISTS " + making, "CREATE DATABASE " + making + " TEMPLATE template0"} {
			if _, err := conn.Exec(ctx, s); err != nil {
				return err
			}
		}
		if _, err := migrations.Up(ctx, migrations.Target{PostgresURL: withDatabase(a.url, making)}); err != nil {
			return err
		}
		_, err = conn.Exec(ctx, "ALTER DATABASE "+making+" RENAME TO "+name)
		return err
	})
}

func migrationsSum() (string, error) {
	h := sha256.New()
	err := fs.WalkDir(migrations.Files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(migrations.Files, path)
		fmt.Fprintf(h, "%s %d\n%s", path, len(b), b)
		return err
	})
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), err
}

// withDatabase is the URL of another database on the same server.
func withDatabase(server, name string) string {
	u, err := url.Parse(server)
	if err != nil || u.Scheme == "" {
		return server + " dbname=" + name // keywords and values: the last one counts
	}
	u.Path = "/" + name
	return u.String()
}

// find returns the folder that holds the server's programs.
func find() (string, error) {
	var dirs []string
	if bin := os.Getenv("VERDICT_POSTGRES_BIN"); bin != "" {
		dirs = []string{bin} // and nowhere else
	} else {
		dirs = filepath.SplitList(os.Getenv("PATH"))
		versions, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
		slices.Reverse(versions)
		dirs = append(dirs, versions...)
	}
	for _, dir := range dirs {
		if isProgram(filepath.Join(dir, "initdb")) && isProgram(filepath.Join(dir, "postgres")) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("%w: no initdb and postgres in $VERDICT_POSTGRES_BIN, PATH or /usr/lib/postgresql, and $VERDICT_TEST_POSTGRES is not set", errAbsent)
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

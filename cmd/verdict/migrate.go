package main

import (
	"fmt"
	"io"
	"time"

	"github.com/verdict-authz/verdict/migrations"
	"github.com/verdict-authz/verdict/server/secret"
	"github.com/verdict-authz/verdict/store/postgres"
)

// migrateCmd brings a schema up to date.
type migrateCmd struct {
	storeFlags
	Status bool `help:"Show which migrations are applied, and change nothing."`
}

// Run applies what is missing, or lists it.
func (c *migrateCmd) Run(s *surroundings) error {
	url, err := c.url()
	if err != nil {
		return usage(err)
	}
	t, err := target(url)
	if err != nil {
		return usage(err)
	}
	if t.PostgresURL, err = c.withPassword(s, t.PostgresURL); err != nil {
		return err
	}
	if c.Status {
		return showMigrations(s, t)
	}
	report, err := migrations.Up(s.ctx, t)
	for _, m := range report.Applied {
		fmt.Fprintf(s.stdout, "applied %s in %s\n", m.Name, m.Took.Round(time.Millisecond))
	}
	if err != nil {
		return err
	}
	for _, notice := range report.Notices {
		fmt.Fprintf(s.stdout, "notice: %s\n", notice)
	}
	state := "already"
	if len(report.Applied) > 0 {
		state = "now"
	}
	_, err = fmt.Fprintf(s.stdout, "the schema is %s at version %d\n", state, report.Version)
	return err
}

// withPassword puts the stored password into a URL, if there is one. Migrating makes connections of its own.
func (c *migrateCmd) withPassword(s *surroundings, url string) (string, error) {
	secrets, err := openSecrets(s, "", map[string]secret.Ref{storePasswordFlag: c.StorePassword})
	if err != nil {
		return "", err
	}
	password, known, err := reveal(s.ctx, secrets, storePasswordFlag)
	if err != nil || !known {
		return url, err
	}
	return postgres.WithPassword(url, string(password))
}

func showMigrations(s *surroundings, t migrations.Target) error {
	list, err := migrations.Status(s.ctx, t)
	if err != nil {
		return err
	}
	for _, m := range list {
		writeMigration(s.stdout, m)
	}
	return nil
}

func writeMigration(out io.Writer, m migrations.Migration) {
	state, name := "pending", m.Name
	if !m.Applied.IsZero() {
		state = "applied " + m.Applied.Format(time.RFC3339)
	}
	if name == "" {
		name = fmt.Sprintf("version %d, of a newer verdict", m.Version)
	}
	fmt.Fprintf(out, "%-40s %s\n", name, state)
}

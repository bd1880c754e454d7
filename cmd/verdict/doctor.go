package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/server/doctor"
	"github.com/verdict-authz/verdict/server/entra"
)

// maxTokenInput bounds what is read as a token; more than verdict accepts, so that a long one is told to be long.
const maxTokenInput = 1 << 20

// stdinToken is the only value of --token. A token on a command line is in the shell's history and in the list of processes.
const stdinToken = "-"

// doctorCmd examines an authority, a tenant, an audience and a token.
type doctorCmd struct {
	issuerFlags

	Audience              []string      `help:"Audience of your api, its client id; repeat or separate with commas." placeholder:"ID"`
	AllowAppsWithoutRoles bool          `help:"The api takes applications without roles."`
	ClockSkew             time.Duration `default:"60s" help:"Clock difference tolerated in token times; at most 300s."`
	Token                 string        `env:"-" help:"- reads an access token from standard input and examines it too; a token is never an argument." placeholder:"-"`
	TokenFile             string        `env:"-" help:"File that holds an access token to examine too." placeholder:"FILE"`
	JSON                  bool          `name:"json" env:"-" help:"Print JSON."`
	Arguments             []string      `arg:"" optional:"" hidden:""`
}

// errExamined says that the report, which is printed already, has a failing step.
var errExamined = errors.New("examined")

// Run examines and prints. Something that fails is exit code 1, and what cannot be examined 2.
func (c *doctorCmd) Run(s *surroundings) error {
	d, err := c.doctor()
	given, inputErr := c.given()
	if err = errors.Join(err, inputErr); err != nil {
		return usage(err)
	}
	var report doctor.Report
	if given {
		token, err := c.read(s.stdin)
		if err != nil {
			return usage(err)
		}
		report = d.ExamineToken(s.ctx, token)
	} else {
		report = d.Examine(s.ctx)
	}
	if err := c.print(s.stdout, &report); err != nil {
		return err
	}
	if report.Result == doctor.Fail {
		return errExamined
	}
	return nil
}

// doctor checks every setting and reports all problems at once.
func (c *doctorCmd) doctor() (*doctor.Doctor, error) {
	var err error
	if len(c.Tenant) == 0 {
		err = errors.Join(err, errors.New("--tenant: none given; no token could be accepted"))
	}
	if len(c.Audience) == 0 {
		err = errors.Join(err, errors.New("--audience: none given; it is the client id of your api"))
	}
	if c.ClockSkew < time.Second || c.ClockSkew > 5*time.Minute {
		err = errors.Join(err, fmt.Errorf("--clock-skew: %s is not within 1s and 300s", c.ClockSkew))
	}
	if err != nil {
		return nil, err
	}
	return doctor.New(doctor.Config{
		Entra:     entra.Config{Providers: []entra.Provider{c.provider()}, Skew: c.ClockSkew},
		Audiences: c.Audience, AllowAppsWithoutRoles: c.AllowAppsWithoutRoles,
	})
}

// given says whether there is a token to examine. What was given in a wrong place is not repeated: it may be one.
func (c *doctorCmd) given() (bool, error) {
	switch {
	case len(c.Arguments) > 0:
		return false, errors.New("doctor takes no arguments; give a token with --token - or --token-file, never on the command line")
	case c.Token != "" && c.Token != stdinToken:
		return false, errors.New("--token: only -, which reads standard input; a token on the command line is in the shell's history and in the list of processes")
	case c.Token != "" && c.TokenFile != "":
		return false, errors.New("--token, --token-file: give one of them")
	}
	return c.Token != "" || c.TokenFile != "", nil
}

// read reads the token, without the line break that files and commands end with.
func (c *doctorCmd) read(stdin io.Reader) (string, error) {
	from, name := stdin, "--token"
	if c.TokenFile != "" {
		name = "--token-file"
		f, err := os.Open(c.TokenFile)
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		defer f.Close()
		from = f
	}
	content, err := io.ReadAll(io.LimitReader(from, maxTokenInput+1))
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if len(content) > maxTokenInput {
		return "", fmt.Errorf("%s: more than %d bytes; that is no token", name, maxTokenInput)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r"), nil
}

func (c *doctorCmd) print(to io.Writer, r *doctor.Report) error {
	if !c.JSON {
		return r.Print(to)
	}
	enc := json.NewEncoder(to)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

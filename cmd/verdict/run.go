package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

// prefix begins the name of every environment variable that is a setting.
const prefix = "VERDICT"

// cli is every command and setting, one line each: flag over environment over default. The variable of --audit-queue is
// VERDICT_AUDIT_QUEUE.
type cli struct {
	Serve          serveCmd          `cmd:"" help:"Serve decisions and administration."`
	Dev            devCmd            `cmd:"" help:"Serve on this machine only, with an embedded store, a local token issuer and an example policy."`
	Doctor         doctorCmd         `cmd:"" help:"Walk every check from the identity provider to a token and say which one fails, why, and how to mend it."`
	Migrate        migrateCmd        `cmd:"" help:"Bring the schema of a store up to date; safe to run twice and from two places at once."`
	Audit          auditCmd          `cmd:"" help:"Ask what was decided and changed: list, follow, explain, count, review."`
	AWSCredentials awsCredentialsCmd `cmd:"" name:"aws-credentials" help:"Get short-lived credentials of AWS for an alias, as a credential_process of AWS's own programs."`
	Version        versionCmd        `cmd:"" help:"Print the version."`

	LogLevel string `default:"info" enum:"debug,info,warn,error" help:"Least level of log lines: debug, info, warn or error."`
}

// surroundings are what a command works with, beside its own settings.
type surroundings struct {
	ctx    context.Context //nolint:containedctx // handed to kong's Run methods, which take no other argument
	stdin  io.Reader
	stdout io.Writer
	log    *slog.Logger
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// run is main without the process around it.
func run(ctx context.Context, args, env []string, stdout, stderr io.Writer) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("verdict"),
		kong.Description("A policy decision service: is this token allowed this request, and why."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.DefaultEnvars(prefix),
	)
	if err != nil {
		return fail(stderr, exitFailed, err)
	}
	if err := checkEnvironment(parser, env); err != nil {
		return fail(stderr, exitUsage, err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help printed
		return exited
	}
	if err != nil {
		return fail(stderr, exitUsage, fmt.Errorf("%w; see verdict --help", err))
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return fail(stderr, exitUsage, err)
	}
	err = parsed.Run(&surroundings{ctx: ctx, stdin: os.Stdin, stdout: stdout, log: slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: level}))})
	switch {
	case errors.Is(err, errExamined): // told already
		return exitFailed
	case errors.Is(err, errUsage):
		return fail(stderr, exitUsage, err)
	case err != nil:
		return fail(stderr, exitFailed, err)
	}
	return exitOK
}

// errUsage marks a configuration that cannot work; nothing was started.
var errUsage = errors.New("configuration")

// fail prints every problem on a line of its own.
func fail(stderr io.Writer, code int, err error) int {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(stderr, "verdict: %s\n", strings.TrimSuffix(line, "\n"))
	}
	return code
}

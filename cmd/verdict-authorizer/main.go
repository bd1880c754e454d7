package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/verdict-authz/verdict/cmd/verdict-authorizer/lambda"
	"github.com/verdict-authz/verdict/proto/verdictclient"
	"github.com/verdict-authz/verdict/proto/verdictclient/stsidentity"
)

func main() {
	// There is one event at a time, and each part of its way is a wait for a peer: with more processors Go would wake and search
	// with a second one for work that there is not, which is a fifth of an event's CPU, and Lambda gives out CPU by memory.
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Environ(), slog.New(slog.NewJSONHandler(os.Stderr, nil))); err != nil {
		os.Exit(1)
	}
}

// run serves until ctx ends. A wrong setting is told to Lambda, all of them at once, and to the log.
func run(ctx context.Context, env []string, log *slog.Logger) error {
	vars := variables(env)
	api, err := lambda.New(vars["AWS_LAMBDA_RUNTIME_API"])
	if err != nil {
		log.Error("cannot start", slog.String("error", err.Error()))
		return err
	}
	a, client, err := start(vars, log)
	if err != nil {
		log.Error("cannot start", slog.String("error", err.Error()))
		return errors.Join(err, api.FailInit(ctx, &lambda.Failure{Type: "Settings", Text: err.Error()}))
	}
	defer func() { _ = client.Close() }()
	if err := api.Serve(ctx, a); err != nil {
		log.Error("stopped", slog.String("error", err.Error()))
		return err
	}
	return nil
}

// start reads the settings and begins to connect to verdict, without waiting for it.
func start(vars map[string]string, log *slog.Logger) (*authorizer, *verdictclient.Client, error) {
	cfg, err := readConfig(vars)
	if err != nil {
		return nil, nil, err
	}
	var shown *identity
	if cfg.stsAudience != "" {
		source, err := stsidentity.New(stsidentity.Config{Audience: cfg.stsAudience})
		if err != nil {
			return nil, nil, err
		}
		shown = &identity{Source: source}
		cfg.client.Credentials = shown
	}
	client, err := verdictclient.Dial(cfg.client)
	if err != nil {
		return nil, nil, err
	}
	client.Connect()
	return newAuthorizer(asker{client, shown}, cfg, log), client, nil
}

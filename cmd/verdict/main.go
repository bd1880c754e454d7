// Command verdict is the policy decision service: serve runs it, dev runs it on one machine with a local issuer and an
// example policy, migrate brings a store's schema up to date, doctor says why a token is refused.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

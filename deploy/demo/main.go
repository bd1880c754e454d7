// Command demo shows verdict at work in a minute: it starts verdict dev, a real Envoy with the configuration shipped in
// deploy/envoy and a small backend, sends requests that must pass and requests that must not, and prints what came back
// beside what was expected, and the decision records. It exits non-zero when anything differs. make demo runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// The fixed ports of DESIGN: what the shipped Envoy configuration and the printed lines say.
const (
	decisionAddr = "127.0.0.1:7300"
	adminAddr    = "127.0.0.1:7301"
	webAddr      = "127.0.0.1:7302"
	issuerURL    = "http://127.0.0.1:7303"
	proxyAddr    = "127.0.0.1:7310"
	backendAddr  = "127.0.0.1:7311"
	startTimeout = 30 * time.Second
)

func run(ctx context.Context) (err error) {
	verdict := flag.String("verdict", "bin/verdict", "path of the verdict binary")
	binary := flag.String("envoy", "envoy", "path of the Envoy binary")
	keep := flag.Bool("keep", false, "leave everything running until interrupted")
	flag.Parse()

	dir, err := os.MkdirTemp("", "verdict-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	stage, err := start(ctx, dir, *verdict, *binary)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.stop()) }()

	good, total, err := play(ctx, os.Stdout)
	if err != nil {
		return err
	}
	if err := showRecords(ctx, os.Stdout); err != nil {
		return err
	}
	if *keep {
		fmt.Printf("\nStill running; try it, and end it with Ctrl-C:\n  curl -i -H \"Authorization: Bearer $(curl -s '%s/mint?user=alice')\" http://localhost:7310/orders/42\n", issuerURL)
		<-ctx.Done()
	}
	fmt.Printf("\ndemo: %d of %d as expected\n", good, total)
	if good != total {
		return fmt.Errorf("%d of %d answers were not the expected ones", total-good, total)
	}
	return nil
}

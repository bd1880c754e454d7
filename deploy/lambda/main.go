package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "lambda:", err)
		os.Exit(1)
	}
}

// command is what is packed, from the root of the module.
const command = "./cmd/verdict-authorizer"

// tags leave out what the function does not use: gRPC's pages of traces, whose templates keep the linker from dropping code. A
// fifth of the zip.
const tags = "grpcnotrace"

// architectures that Lambda has, by Go's names for them.
var architectures = []string{"arm64", "amd64"}

// config is what the flags say.
type config struct {
	out   string   // folder
	archs []string // of Go
	limit int      // bytes of a zip
	files []string // PEM files to pack instead of the authorizer
	root  string   // of the module
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	var archs, files string
	cfg := config{}
	flags := flag.NewFlagSet("lambda", flag.ContinueOnError)
	flags.StringVar(&cfg.out, "out", "dist", "folder for the zips")
	flags.StringVar(&archs, "arch", strings.Join(architectures, ","), "architectures to build for")
	flags.IntVar(&cfg.limit, "limit", 5_000_000, "largest zip, in bytes")
	flags.StringVar(&files, "files", "", "PEM files, separated by commas, to pack for a layer, instead of building")
	flags.StringVar(&cfg.root, "root", ".", "root of the module")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q: no arguments beside the flags", flags.Arg(0))
	}
	cfg.archs, cfg.files = words(archs), words(files)
	if err := cfg.validate(); err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.out, 0o755); err != nil { //nolint:gosec // G301: packages are no secret, and CI uploads them as another user
		return err
	}
	if len(cfg.files) > 0 {
		entries, err := readPEM(cfg.files)
		if err != nil {
			return err
		}
		return cfg.write("verdict-authorizer-files.zip", entries, stdout)
	}
	for _, arch := range cfg.archs {
		binary, err := build(ctx, cfg.root, arch)
		if err != nil {
			return err
		}
		bootstrap := entry{name: "bootstrap", mode: 0o755, data: binary}
		if err := cfg.write("verdict-authorizer-"+arch+".zip", []entry{bootstrap}, stdout); err != nil {
			return err
		}
	}
	return nil
}

func (c *config) validate() (err error) {
	if len(c.archs) == 0 {
		err = errors.Join(err, errors.New("-arch: none given"))
	}
	for _, arch := range c.archs {
		if !slices.Contains(architectures, arch) {
			err = errors.Join(err, fmt.Errorf("-arch: %q is not one of %s", arch, strings.Join(architectures, ", ")))
		}
	}
	if c.limit <= 0 {
		err = errors.Join(err, errors.New("-limit: must be more than 0"))
	}
	return err
}

// words are those of a list with commas.
func words(list string) (out []string) {
	for word := range strings.SplitSeq(list, ",") {
		if word = strings.TrimSpace(word); word != "" {
			out = append(out, word)
		}
	}
	return out
}

// build compiles the authorizer. What could make one build differ from another is left out: paths, the state of git, the build
// id, cgo, and what the environment says of flags and of the level of the processor.
func build(ctx context.Context, root, arch string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "lambda")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary := filepath.Join(dir, "bootstrap")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", tags, "-ldflags", "-s -w -buildid=", "-o", binary, command) //nolint:gosec // G204: constants and a folder of ours
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOARM64=v8.0", "GOAMD64=v1", "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=")
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("build %s for %s: %w\n%s", command, arch, err, said.String())
	}
	return os.ReadFile(binary)
}

// write packs entries into a file of the folder, unless the zip is too large: then what lies there stays.
func (c *config) write(name string, entries []entry, stdout io.Writer) error {
	packed, err := pack(entries)
	if err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	if len(packed) > c.limit {
		return fmt.Errorf("%s has %d bytes, more than the %d that it may; a cold start takes longer with each", name, len(packed), c.limit)
	}
	path := filepath.Join(c.out, name)
	if err := os.WriteFile(path, packed, 0o644); err != nil { //nolint:gosec // G306: as above
		return err
	}
	unpacked := 0
	for _, e := range entries {
		unpacked += len(e.data)
	}
	sum := sha256.Sum256(packed)
	// In base64 too: so Lambda and Terraform show it.
	fmt.Fprintf(stdout, "%s  %s  (%s)\n  %d bytes, %d unpacked, %s\n",
		hex.EncodeToString(sum[:]), path, base64.StdEncoding.EncodeToString(sum[:]), len(packed), unpacked, runtime.Version())
	return nil
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// serverFlags say which verdict a command talks to, over its decision listener.
type serverFlags struct {
	Server     string `default:"127.0.0.1:7300" help:"Decision listener of verdict: host:port or unix:/path; ${default} unless set." placeholder:"ADDRESS"`
	ServerCA   string `name:"server-ca" help:"PEM certificates that sign that of the decision listener; TLS is used." placeholder:"FILE"`
	ServerCert string `name:"server-cert" help:"PEM certificate chain to show to the decision listener." placeholder:"FILE"`
	ServerKey  string `name:"server-key" help:"PEM private key of --server-cert." placeholder:"FILE"`
	Timeout    span   `env:"-" default:"30s" help:"Longest it may take, such as 5m; ${default} unless set." placeholder:"TIME"`
}

// remote are the same settings for the admin listener, whose connections and errors are alike.
func (f *serverFlags) remote() remoteFlags {
	return remoteFlags{Admin: f.Server, AdminCA: f.ServerCA, AdminCert: f.ServerCert, AdminKey: f.ServerKey, Timeout: f.Timeout}
}

// ofServer turns the names of the one listener's settings into those of the other's.
var ofServer = strings.NewReplacer("--admin-listen", "--decision-listen", "--admin-", "--server-", "--admin:", "--server:")

// reword speaks of this listener where an error speaks of the other.
func (f *serverFlags) reword(err error) error {
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, errUsage):
		return usage(errors.New(ofServer.Replace(err.Error())))
	}
	return errors.New(ofServer.Replace(err.Error()))
}

// tokenFlags say where the caller's access token is. It never stands on the command line, which other users of the machine see.
type tokenFlags struct {
	TokenFile    string `env:"-" help:"File that holds the access token." placeholder:"FILE"`
	TokenCommand string `env:"-" help:"Command that prints the access token, or JSON with accessToken as az does; run without a shell." placeholder:"COMMAND"`
}

func (f *tokenFlags) validate() error {
	if (f.TokenFile == "") == (f.TokenCommand == "") {
		return errors.New("--token-file, --token-command: give one of them")
	}
	if f.TokenCommand != "" {
		_, err := words(f.TokenCommand)
		return err
	}
	return nil
}

// maxTokenText bounds what is read for a token, in bytes; a token itself has at most 32 KiB.
const maxTokenText = 128 << 10

// compactJWS is the form of a token: three parts.
var compactJWS = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`)

// token reads the token. No error has a part of what was read.
func (f *tokenFlags) token(ctx context.Context) (string, error) {
	name, read := "--token-file: "+f.TokenFile, f.fromFile
	if f.TokenCommand != "" {
		name, read = "--token-command", f.fromCommand
	}
	text, err := read(ctx)
	if err != nil {
		return "", err
	}
	token := string(bytes.TrimSpace(text))
	if strings.HasPrefix(token, "{") {
		var answer struct {
			AccessToken string `json:"accessToken"`  // az
			OAuth       string `json:"access_token"` // RFC 6749
		}
		if json.Unmarshal(text, &answer) != nil { // its error repeats the text
			return "", fmt.Errorf("%s: neither a token nor JSON that has one", name)
		}
		if token = answer.AccessToken; token == "" {
			token = answer.OAuth
		}
	}
	if len(text) > maxTokenText || !compactJWS.MatchString(token) {
		return "", fmt.Errorf("%s: no access token there; it has three parts joined by dots, or is the accessToken of JSON", name)
	}
	return token, nil
}

func (f *tokenFlags) fromFile(context.Context) ([]byte, error) {
	file, err := os.Open(f.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("--token-file: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxTokenText+1))
	if err != nil {
		return nil, fmt.Errorf("--token-file: %w", err)
	}
	return text, nil
}

// fromCommand runs the command. What it says on standard error goes there: as a rule, that one should sign in.
func (f *tokenFlags) fromCommand(ctx context.Context) ([]byte, error) {
	argv, err := words(f.TokenCommand)
	if err != nil {
		return nil, usage(err)
	}
	out := limitedBuffer{left: maxTokenText + 1}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // the user's own command, by their own flag
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, os.Stderr, time.Second
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("--token-command: %s did not end in time: %w", argv[0], ctx.Err())
	case err != nil:
		return nil, fmt.Errorf("--token-command: %s: %w", argv[0], err)
	}
	return out.buf.Bytes(), nil
}

// limitedBuffer keeps what fits and throws away the rest.
type limitedBuffer struct {
	buf  bytes.Buffer
	left int
}

// Write implements io.Writer.
func (b *limitedBuffer) Write(p []byte) (int, error) {
	keep := min(len(p), b.left)
	b.buf.Write(p[:keep])
	b.left -= keep
	return len(p), nil
}

// words splits a command at its spaces. Quotes of either kind group what is between them; nothing else is special, so that
// names of files on Windows stay as they are.
func words(command string) ([]string, error) {
	var all []string
	var word strings.Builder
	var quote rune
	open := false // a word has begun
	for _, r := range command {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, open = r, true
		case quote == 0 && (r == ' ' || r == '\t' || r == '\n'):
			if open {
				all = append(all, word.String())
			}
			word.Reset()
			open = false
		default:
			word.WriteRune(r)
			open = true
		}
	}
	if open {
		all = append(all, word.String())
	}
	switch {
	case quote != 0:
		return nil, errors.New("--token-command: a quote that does not end")
	case len(all) == 0 || all[0] == "":
		return nil, errors.New("--token-command: no command")
	}
	return all, nil
}

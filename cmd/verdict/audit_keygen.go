package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"github.com/verdict-authz/verdict/server/audit/seal"
)

// publicEnding is what the public key's file is called, after the private one's.
const publicEnding = ".pub"

// auditKeygenCmd makes the key that digests are signed with.
type auditKeygenCmd struct {
	Out string `env:"-" required:"" help:"File for the private key (PKCS #8, mode 0600); the public key goes to FILE.pub. Neither may be there." placeholder:"FILE"`
}

// Run makes the two files, both or none, and writes over nothing: without its old key a chain could not be gone on with.
func (c *auditKeygenCmd) Run(s *surroundings) error {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	privatePEM, publicPEM, err := seal.EncodeKey(key)
	if err != nil {
		return err
	}
	if err := writeNew(c.Out+publicEnding, publicPEM, 0o644); err != nil {
		return err
	}
	if err := writeNew(c.Out, privatePEM, 0o600); err != nil {
		return errors.Join(err, os.Remove(c.Out+publicEnding))
	}
	_, err = fmt.Fprintf(s.stdout, "private key %s\npublic key  %s\nkey id      %s\n", c.Out, c.Out+publicEnding, seal.KeyID(public))
	return err
}

// writeNew writes a file that is not there yet.
func writeNew(name string, content []byte, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("--out: %w", err), os.Remove(name))
	}
	return nil
}

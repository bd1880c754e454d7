package seal

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// domain begins what is signed, so that the key's signature of something else is never one of a digest.
const domain = "verdict digest v1\n"

// signed is what the signature of d is over: all fields but the signature itself and Leaves, which Root covers.
func signed(d *store.Digest) []byte {
	b := append(make([]byte, 0, 512), domain...)
	b = binary.AppendUvarint(b, d.Number)
	b = appendText(b, string(d.Kind))
	b = binary.AppendVarint(b, d.From.UnixMicro())
	b = binary.AppendVarint(b, d.To.UnixMicro())
	b = binary.AppendUvarint(b, d.Count)
	b = appendText(b, string(d.Root))
	b = appendText(b, string(d.Previous))
	b = appendText(b, d.KeyID)
	b = binary.AppendUvarint(b, d.RevisionFirst)
	b = binary.AppendUvarint(b, d.RevisionLast)
	b = binary.AppendUvarint(b, uint64(len(d.Ranges)))
	for _, r := range d.Ranges {
		b = appendText(b, r.Instance)
		for _, n := range [...]uint64{r.Epoch, r.First, r.Last, r.Count} {
			b = binary.AppendUvarint(b, n)
		}
	}
	return b
}

// Hash is what the digest after d calls it by: SHA-256 over what is signed, and the signature.
func Hash(d *store.Digest) [sha256.Size]byte {
	return sha256.Sum256(append(signed(d), d.Signature...))
}

func sign(d *store.Digest, key ed25519.PrivateKey, id string) {
	d.KeyID = id
	d.Signature = ed25519.Sign(key, signed(d))
}

// keyring are the public keys that a verifier trusts, by KeyID.
type keyring map[string]ed25519.PublicKey

func newKeyring(keys []ed25519.PublicKey) (keyring, error) {
	if len(keys) == 0 {
		return nil, errors.New("verify: no public key; any signature would do")
	}
	ring := make(keyring, len(keys))
	for _, k := range keys {
		if len(k) != ed25519.PublicKeySize {
			return nil, errors.New("verify: a public key that is not Ed25519")
		}
		ring[KeyID(k)] = k
	}
	return ring, nil
}

// fault says what is wrong with the signature of d; "": nothing.
func (r keyring) fault(d *store.Digest) string {
	key, known := r[d.KeyID]
	switch {
	case !known:
		return fmt.Sprintf("signed with key %q, which was not given", d.KeyID)
	case !ed25519.Verify(key, signed(d), d.Signature):
		return "its signature is not of what it says"
	}
	return ""
}

// digestFile is a digest as a file: all of it but the list, which its root covers.
type digestFile struct {
	Number        uint64                `json:"number"`
	Kind          store.DigestKind      `json:"kind"`
	From          time.Time             `json:"from"`
	To            time.Time             `json:"to"`
	Count         uint64                `json:"count"`
	Root          string                `json:"root"`
	Previous      string                `json:"previous"`
	RevisionFirst uint64                `json:"revision_first"`
	RevisionLast  uint64                `json:"revision_last"`
	Ranges        []store.SequenceRange `json:"ranges"`
	KeyID         string                `json:"key_id"`
	Signature     string                `json:"signature"`
	Hash          string                `json:"hash"`
}

// FileName is what the copy of a digest is called.
func FileName(number uint64) string { return fmt.Sprintf("digest-%08d.json", number) }

// Encode is d as JSON without Leaves; the same digest is always the same bytes.
func Encode(d *store.Digest) ([]byte, error) {
	h := Hash(d)
	f := digestFile{
		Number: d.Number, Kind: d.Kind, From: d.From, To: d.To, Count: d.Count, Root: hex.EncodeToString(d.Root),
		Previous: hex.EncodeToString(d.Previous), RevisionFirst: d.RevisionFirst, RevisionLast: d.RevisionLast, Ranges: d.Ranges,
		KeyID: d.KeyID, Signature: hex.EncodeToString(d.Signature), Hash: hex.EncodeToString(h[:]),
	}
	if f.Ranges == nil {
		f.Ranges = []store.SequenceRange{}
	}
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode digest %d: %w", d.Number, err)
	}
	return append(b, '\n'), nil
}

// Decode reads what Encode wrote. Its hash is not believed, nor is its signature checked.
func Decode(content []byte) (store.Digest, error) {
	var f digestFile
	if err := json.Unmarshal(content, &f); err != nil {
		return store.Digest{}, fmt.Errorf("decode a digest: %w", err)
	}
	d := store.Digest{
		Number: f.Number, Kind: f.Kind, From: f.From, To: f.To, Count: f.Count, RevisionFirst: f.RevisionFirst,
		RevisionLast: f.RevisionLast, Ranges: f.Ranges, KeyID: f.KeyID,
	}
	var err error
	for _, field := range []struct {
		to   *[]byte
		text string
	}{{&d.Root, f.Root}, {&d.Previous, f.Previous}, {&d.Signature, f.Signature}} {
		if *field.to, err = hex.DecodeString(field.text); err != nil {
			return store.Digest{}, fmt.Errorf("decode digest %d: %w", f.Number, err)
		}
	}
	return d.Canonical()
}

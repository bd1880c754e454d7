package seal

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/verdict-authz/verdict/store"
)

// leafVersion begins the text that a leaf is the hash of. A new field of records comes at the end of the text, and only when
// it is set: the leaves of records that were written before stay what they are.
const leafVersion = 1

// Leaf is the hash of a record: SHA-256 over 0x00, which no inner node begins with, and its fields in a fixed order. Of
// records without an instance, Epoch and Seq are the store's and not part of it; neither is d.Leaf. d is canonical
// (store.Decision.Canonical).
func Leaf(d *store.Decision) [sha256.Size]byte {
	b := make([]byte, 0, 1024)
	b = append(b, 0, leafVersion)
	allowed := byte(0)
	if d.Allowed {
		allowed = 1
	}
	b = append(b, allowed)
	b = binary.AppendVarint(b, d.At.UnixMicro())
	b = binary.AppendVarint(b, d.Took.Microseconds())
	b = binary.AppendVarint(b, int64(d.Reason))
	b = binary.AppendVarint(b, int64(d.PrincipalKind))
	for _, n := range [...]uint64{d.Revision, d.Repeats} {
		b = binary.AppendUvarint(b, n)
	}
	for _, s := range [...]string{
		d.ID, d.Detail, d.TenantID, d.PrincipalID, d.ClientID, d.TokenID, d.API, d.Route, d.Template, d.Method, d.Host, d.RawPath,
		d.Resource, d.Door, d.PEP, d.RequestID, d.AgentParent, d.AgentFacets, d.SourceIP, d.Instance,
	} {
		b = appendText(b, s)
	}
	for _, l := range [...][]string{d.Permissions, d.Grants, d.Subjects, d.Scopes, d.Missing, d.GrantSubjects} {
		b = binary.AppendUvarint(b, uint64(len(l)))
		for _, s := range l {
			b = appendText(b, s)
		}
	}
	if d.Instance != "" {
		b = binary.AppendUvarint(b, d.Epoch)
		b = binary.AppendUvarint(b, d.Seq)
	}
	return sha256.Sum256(b)
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

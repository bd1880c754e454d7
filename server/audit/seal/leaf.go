package seal

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/verdict-authz/verdict/store"
)

// A leaf is SHA-256 over 0x00, which no inner node begins with, one of these, and what it is of. A new field comes at the
// end, and only when it is set: the leaves of what was written before stay what they are.
const (
	recordLeaf = 1
	changeLeaf = 2
	listLeaf   = 3
)

// Leaf is the hash of a record: its fields in a fixed order. Of records without an instance, Epoch and Seq are the store's and
// not part of it; neither is d.Leaf. d is canonical (store.Decision.Canonical).
func Leaf(d *store.Decision) [sha256.Size]byte {
	b := make([]byte, 0, 1024)
	b = append(b, 0, recordLeaf)
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

// changeHash makes the leaf of an admin change fact by fact: a change may have a million of them.
type changeHash struct {
	sum hash.Hash
	b   []byte
}

// begin starts the leaf of c, whose Facts are not looked at.
func (h *changeHash) begin(c *store.AdminChange) {
	h.sum = sha256.New()
	h.b = append(h.b[:0], 0, changeLeaf)
	h.b = appendText(h.b, string(c.Trail))
	h.b = binary.AppendUvarint(h.b, c.Number)
	h.b = binary.AppendVarint(h.b, c.At.UnixMicro())
	for _, s := range [...]string{c.Actor, c.Reason, c.Ticket} {
		h.b = appendText(h.b, s)
	}
	h.b = binary.AppendUvarint(h.b, c.Total)
	h.sum.Write(h.b)
}

// fact adds the next fact.
func (h *changeHash) fact(f *store.FactChange) {
	h.b = h.b[:0]
	for _, s := range [...]string{string(f.Kind), f.Key, f.Before, f.After} {
		h.b = appendText(h.b, s)
	}
	h.sum.Write(h.b)
}

func (h *changeHash) leaf() (leaf [sha256.Size]byte) {
	h.sum.Sum(leaf[:0])
	return leaf
}

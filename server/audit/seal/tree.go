package seal

import "crypto/sha256"

// tree is the root of a Merkle tree as in RFC 6962, section 2.1, made leaf by leaf: it holds the roots of the perfect trees
// that the leaves so far fall into, at most one a power of two.
type tree struct {
	leaves uint64
	roots  [][sha256.Size]byte // from the largest to the smallest
}

func (t *tree) add(leaf [sha256.Size]byte) {
	t.roots = append(t.roots, leaf)
	for n := t.leaves; n&1 == 1; n >>= 1 {
		last := len(t.roots) - 1
		t.roots[last-1] = node(t.roots[last-1], t.roots[last])
		t.roots = t.roots[:last]
	}
	t.leaves++
}

// root is that of the leaves so far, of which there is at least one.
func (t *tree) root() [sha256.Size]byte {
	last := len(t.roots) - 1
	r := t.roots[last]
	for i := last - 1; i >= 0; i-- {
		r = node(t.roots[i], r)
	}
	return r
}

func node(l, r [sha256.Size]byte) [sha256.Size]byte {
	b := make([]byte, 0, 1+2*sha256.Size)
	b = append(b, 1)
	b = append(b, l[:]...)
	b = append(b, r[:]...)
	return sha256.Sum256(b)
}

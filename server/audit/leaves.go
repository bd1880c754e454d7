package audit

import (
	"crypto/sha256"

	"github.com/verdict-authz/verdict/server/audit/seal"
	"github.com/verdict-authz/verdict/store"
)

// addLeaves makes ds canonical and gives each record its leaf, over all that it is when it is written, its place included.
// One that cannot be made canonical stays as it is: the store will say what is wrong with it.
func addLeaves(ds []store.Decision) {
	leaves := make([]byte, 0, len(ds)*sha256.Size) // one allocation for all; a store may keep it
	for i := range ds {
		d, err := ds[i].Canonical()
		if err != nil {
			continue
		}
		sum := seal.Leaf(&d)
		leaves = append(leaves, sum[:]...)
		d.Leaf = leaves[len(leaves)-sha256.Size : len(leaves) : len(leaves)]
		ds[i] = d
	}
}

package policy

import "slices"

// directory is an extendible hash directory: the first bits of a hash choose a cell. A cell that has become too full is
// split by one more bit, and only when it already used all bits does the directory double. So a change copies the
// directory, which is small, and the cells it touches; the rest is shared with the directory it was made from.
type directory[T any] struct {
	bits  uint8
	cells []cell[T] // 1 << bits of them; a cell that uses fewer bits stands in several places
}

// cell is what is kept for all hashes that share their first bits.
type cell[T any] struct {
	held T
	bits uint8
}

// maxDirectoryBits bounds the directory; beyond it cells just grow.
const maxDirectoryBits = 16

func newDirectory[T any](bits uint8) directory[T] {
	d := directory[T]{bits: bits, cells: make([]cell[T], 1<<bits)}
	for i := range d.cells {
		d.cells[i].bits = bits
	}
	return d
}

// bitsFor is how many bits spread n things over cells of about size.
func bitsFor(n, size int) uint8 {
	bits := uint8(0)
	for n>>bits > size && bits < maxDirectoryBits {
		bits++
	}
	return bits
}

// place is the number of the cell for a hash.
func (d *directory[T]) place(hash uint64) int { return int(hash >> (64 - d.bits)) } //nolint:gosec // at most 16 bits

// at is what is kept for a hash.
func (d *directory[T]) at(hash uint64) *T { return &d.cells[d.place(hash)].held }

// clone is a directory that can be changed without d being changed, as long as what is held is replaced and not written to.
func (d *directory[T]) clone() directory[T] {
	return directory[T]{bits: d.bits, cells: slices.Clone(d.cells)}
}

// each calls do once for each cell.
func (d *directory[T]) each(do func(held *T)) {
	for i := 0; i < len(d.cells); i += d.span(i) {
		do(&d.cells[i].held)
	}
}

// span is in how many places from i on, i being the first, a cell stands.
func (d *directory[T]) span(i int) int { return 1 << (d.bits - d.cells[i].bits) }

// put replaces what is kept for the hashes that share the first bits with hash. With more bits than the cell had, the
// caller must put the other parts too.
func (d *directory[T]) put(hash uint64, bits uint8, held T) {
	for d.bits < bits {
		d.double()
	}
	n := 1 << (d.bits - bits)
	first := d.place(hash) &^ (n - 1)
	for i := first; i < first+n; i++ {
		d.cells[i] = cell[T]{held: held, bits: bits}
	}
}

func (d *directory[T]) double() {
	cells := make([]cell[T], 2*len(d.cells))
	for i := range cells {
		cells[i] = d.cells[i/2]
	}
	d.cells = cells
	d.bits++
}

// rewrite goes through work, which is sorted by hash, and calls redo once for each cell that some of it falls into.
func rewrite[T, W any](d *directory[T], work []W, hash func(*W) uint64, redo func(at uint64, bits uint8, work []W)) {
	for len(work) > 0 {
		h := hash(&work[0])
		bits := d.cells[d.place(h)].bits
		n := 1
		for n < len(work) && sameCell(h, hash(&work[n]), bits) {
			n++
		}
		redo(h, bits, work[:n])
		work = work[n:]
	}
}

// sameCell says whether two hashes share their first bits.
func sameCell(a, b uint64, bits uint8) bool { return (a^b)>>(64-bits) == 0 }

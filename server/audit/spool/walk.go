package spool

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
)

// walker reads the frames of one segment. What it returns carries a valid checksum and the number that its place
// allows; bytes that do not make such a frame are stepped over and counted.
type walker struct {
	f    io.ReaderAt
	seed uint32
	size int64  // may grow while the segment is being written
	off  int64  // of the next frame
	want uint64 // number of the next frame, if nothing is missing

	win    []byte // what was read of the file, from winOff on
	winOff int64
}

// frame is one that was read. data is valid until the next call.
type frame struct {
	seq  uint64
	data []byte // none: the seal
	size int64
}

const windowBytes = 256 << 10

func newWalker(f io.ReaderAt, seed uint32, first uint64, size int64) *walker {
	return &walker{f: f, seed: seed, size: size, off: segmentHeader, want: first}
}

// next returns the next frame and how many bytes before it were none; io.EOF when none is left. After any other error it
// may be called again.
func (w *walker) next() (fr frame, damaged int64, err error) {
	begin := w.off
	for at := w.off; at+frameHeader <= w.size; at++ {
		fr, ok, err := w.frame(at, begin)
		if err != nil {
			return frame{}, 0, err
		}
		if ok {
			w.off, w.want = at+fr.size, fr.seq+1
			return fr, at - begin, nil
		}
	}
	w.off = max(begin, w.size)
	return frame{}, w.off - begin, io.EOF
}

// back undoes the last call of next, which returned fr.
func (w *walker) back(fr frame) {
	w.off, w.want = w.off-fr.size, fr.seq
}

// frame reads the frame at an offset. begin is where the damage began that is being stepped over, if any: so many bytes
// cannot have held more records than fit, which bounds the number that may come next. Nearly all places within damage
// are refused by that, so that stepping over a whole segment stays cheap.
func (w *walker) frame(at, begin int64) (frame, bool, error) {
	h, err := w.peek(at, frameHeader)
	if err != nil {
		return frame{}, false, err
	}
	length, seq := int64(order.Uint32(h)), order.Uint64(h[8:])
	most := w.want + uint64(at-begin)/(frameHeader+1) //nolint:gosec // at is not before begin
	if seq < w.want || seq > most || length > MaxRecord || at+frameHeader+length > w.size {
		return frame{}, false, nil
	}
	b, err := w.peek(at, frameHeader+int(length))
	if err != nil {
		return frame{}, false, err
	}
	data := b[frameHeader:]
	if frameSum(recordSum(w.seed, data), b) != order.Uint32(b[4:]) {
		return frame{}, false, nil
	}
	return frame{seq: seq, data: data, size: frameHeader + length}, true, nil
}

// peek returns n bytes of the file, which has them.
func (w *walker) peek(at int64, n int) ([]byte, error) {
	if i := at - w.winOff; i >= 0 && i+int64(n) <= int64(len(w.win)) {
		return w.win[i : i+int64(n)], nil
	}
	size := int(min(int64(max(n, windowBytes)), w.size-at))
	if cap(w.win) < size {
		w.win = make([]byte, size)
	}
	w.win = w.win[:size]
	w.winOff = at
	got, err := w.f.ReadAt(w.win, at)
	w.win = w.win[:got]
	if got >= n {
		return w.win[:n], nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // the file is shorter than it was
	}
	return nil, err
}

// newIdentity draws the identity of a new spool.
func newIdentity() identity {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the process instead
	var id identity
	copy(id.instance[:], b[:16])
	id.salt = binary.LittleEndian.Uint64(b[16:])
	return id
}

package spool

// pending holds, in memory, the frames that are not yet known to be on disk. Positions in it are offsets in the stream
// of all frames of the epoch. It is guarded by Log.mu, except that bytes once added are never changed: whoever has got
// slices may read them without the lock until their end is released.
type pending struct {
	chunks []*chunk // oldest first; a frame lies in one chunk
	free   []*chunk
	from   uint64 // offset of the first byte of chunks
	end    uint64 // offset behind the last
}

type chunk struct {
	buf []byte
}

const (
	chunkBytes = 256 << 10
	// pendingBytes is the most that waits for an fsync; then appenders wait too. Beyond it a disk that stalls would turn
	// into memory.
	pendingBytes = 16 << 20
	// freeChunks is enough for 10ms of 500,000 records of 300 bytes per second.
	freeChunks = 6
)

// add appends a frame.
func (p *pending) add(sum uint32, seq uint64, record []byte) {
	size := frameHeader + len(record)
	c := p.room(size)
	n := len(c.buf)
	c.buf = append(c.buf[:n+frameHeader], record...)
	putFrameHeader(c.buf[n:n+frameHeader], sum, seq, len(record))
	p.end += uint64(size)
}

// room returns the chunk to which the next size bytes go.
func (p *pending) room(size int) *chunk {
	if n := len(p.chunks); n > 0 {
		if c := p.chunks[n-1]; cap(c.buf)-len(c.buf) >= size {
			return c
		}
	}
	var c *chunk
	if n := len(p.free); n > 0 && size <= chunkBytes {
		c, p.free = p.free[n-1], p.free[:n-1]
	} else {
		c = &chunk{buf: make([]byte, 0, max(chunkBytes, size))}
	}
	p.chunks = append(p.chunks, c)
	return c
}

// slices appends to into what lies between two offsets.
func (p *pending) slices(into [][]byte, from, to uint64) [][]byte {
	at := p.from
	for _, c := range p.chunks {
		next := at + uint64(len(c.buf))
		if lo, hi := max(from, at), min(to, next); lo < hi {
			into = append(into, c.buf[lo-at:hi-at:hi-at])
		}
		at = next
	}
	return into
}

// release lets go of what lies before to, as far as whole chunks go.
func (p *pending) release(to uint64) {
	n := 0
	for n < len(p.chunks) {
		c := p.chunks[n]
		next := p.from + uint64(len(c.buf))
		if next > to {
			break
		}
		p.from = next
		if c.buf = c.buf[:0]; cap(c.buf) == chunkBytes && len(p.free) < freeChunks {
			p.free = append(p.free, c)
		}
		n++
	}
	if n > 0 {
		kept := copy(p.chunks, p.chunks[n:])
		clear(p.chunks[kept:])
		p.chunks = p.chunks[:kept]
	}
}

// truncate takes back what lies behind to.
func (p *pending) truncate(to uint64) {
	for p.end > to {
		n := len(p.chunks) - 1
		c := p.chunks[n]
		if cut := min(p.end-to, uint64(len(c.buf))); cut < uint64(len(c.buf)) {
			c.buf = c.buf[:uint64(len(c.buf))-cut]
			p.end -= cut
		} else {
			p.end -= cut
			p.chunks[n] = nil
			p.chunks = p.chunks[:n]
		}
	}
}

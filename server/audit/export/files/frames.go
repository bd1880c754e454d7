package files

import (
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
)

// A zstd frame (RFC 8878): a header, blocks each with three bytes before it that give its size, and a checksum.
const (
	blockHeader = 3
	checksum    = 4
)

// frames reads whole frames from the front of content.
type frames struct {
	decoder *zstd.Decoder
	plain   []byte // room for what a frame holds
}

func newFrames() (*frames, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))
	if err != nil {
		return nil, err
	}
	return &frames{decoder: d}, nil
}

// whole is how many bytes from the front are frames that can be read and hold whole lines. What follows was torn: its
// length may be right and its content not, since a file can grow before what is in it reaches the disk.
func (f *frames) whole(content []byte) (n int) {
	for n < len(content) {
		size, err := frameSize(content[n:])
		if err != nil {
			return n
		}
		f.plain, err = f.decoder.DecodeAll(content[n:n+size], f.plain[:0])
		if err != nil || !bytes.HasSuffix(f.plain, []byte("\n")) {
			return n
		}
		n += size
	}
	return n
}

var errFrame = errors.New("no frame of ours")

// frameSize is the size of the frame that content begins with. io.ErrUnexpectedEOF when it goes on beyond content.
func frameSize(content []byte) (int, error) {
	var h zstd.Header
	if err := h.Decode(content); err != nil {
		return 0, err
	}
	if h.Skippable || !h.HasCheckSum {
		return 0, errFrame
	}
	at := h.HeaderSize
	for last := false; !last; {
		if len(content)-at < blockHeader {
			return 0, io.ErrUnexpectedEOF
		}
		word := int(content[at]) | int(content[at+1])<<8 | int(content[at+2])<<16
		last = word&1 == 1
		size := word >> 3
		if word>>1&3 == 1 { // run-length: one byte, repeated
			size = 1
		}
		if at += blockHeader + size; at > len(content) {
			return 0, io.ErrUnexpectedEOF
		}
	}
	if at += checksum; at > len(content) {
		return 0, io.ErrUnexpectedEOF
	}
	return at, nil
}

package spool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"
)

// Names in the directory.
const (
	lockName       = "lock"
	checkpointName = "checkpoint"
	reserveName    = "reserve"
	segmentSuffix  = ".seg"
	tmpSuffix      = ".tmp"
)

// Sizes of the parts, in bytes. docs/spool.md shows where each field lies.
const (
	segmentHeader    = 64
	frameHeader      = 16
	checkpointLength = 64
)

var (
	segmentMagic    = [8]byte{'V', 'S', 'P', 'O', 'O', 'L', 0, 1}
	checkpointMagic = [8]byte{'V', 'S', 'P', 'C', 'H', 'K', 0, 1}

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	order      = binary.LittleEndian
)

// identity is what all files of one spool have in common. The salt is never told to anyone: the checksums of frames
// begin with it, so that no one who chooses the content of a record can make part of it pass for a frame.
type identity struct {
	instance Instance
	salt     uint64
}

// seed is where the checksums of an epoch's frames begin. It is the same in all segments of the epoch, so that a frame
// can be written again elsewhere as it is.
func (id identity) seed(epoch uint64) uint32 {
	b := make([]byte, 0, 32)
	b = append(b, id.instance[:]...)
	b = order.AppendUint64(b, id.salt)
	b = order.AppendUint64(b, epoch)
	return crc32.Checksum(b, castagnoli)
}

// segmentName is a place in the order of segments, which is that of their file names too: epoch, then ordinal within
// it. first is the number of the first record. It is in the name so that it survives a damaged header.
type segmentName struct {
	epoch   uint64 // below 1<<48
	ordinal uint32
	first   uint64
}

func (n segmentName) String() string {
	return fmt.Sprintf("%012x-%08x-%016x%s", n.epoch, n.ordinal, n.first, segmentSuffix)
}

func parseSegmentName(s string) (segmentName, bool) {
	parts := strings.Split(strings.TrimSuffix(s, segmentSuffix), "-")
	if len(parts) != 3 {
		return segmentName{}, false
	}
	var v [3]uint64
	for i, bits := range [3]int{48, 32, 64} {
		var err error
		if v[i], err = strconv.ParseUint(parts[i], 16, bits); err != nil {
			return segmentName{}, false
		}
	}
	n := segmentName{epoch: v[0], ordinal: uint32(v[1]), first: v[2]} //nolint:gosec // parsed as 32 bits
	return n, n.epoch > 0 && n.first > 0 && n.String() == s
}

// encodeSegmentHeader is magic, instance, salt, epoch, ordinal (4 bytes), first, creation in Unix nanoseconds, checksum.
func encodeSegmentHeader(id identity, n segmentName, created time.Time) []byte {
	b := make([]byte, 0, segmentHeader)
	b = append(b, segmentMagic[:]...)
	b = append(b, id.instance[:]...)
	b = order.AppendUint64(b, id.salt)
	b = order.AppendUint64(b, n.epoch)
	b = order.AppendUint32(b, n.ordinal)
	b = order.AppendUint64(b, n.first)
	b = order.AppendUint64(b, uint64(created.UnixNano()))
	return order.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeSegmentHeader returns what the header of segment n says; false when it is damaged or another's.
func decodeSegmentHeader(b []byte, n segmentName) (id identity, created time.Time, ok bool) {
	if len(b) < segmentHeader {
		return id, created, false
	}
	copy(id.instance[:], b[8:24])
	id.salt = order.Uint64(b[24:])
	created = time.Unix(0, int64(order.Uint64(b[52:]))).UTC() //nolint:gosec // turned back
	return id, created, bytes.Equal(b[:segmentHeader], encodeSegmentHeader(id, n, created))
}

// encodeCheckpoint is magic, instance, salt, epoch, number, 12 bytes unused, checksum.
func encodeCheckpoint(id identity, at Seq) []byte {
	b := make([]byte, 0, checkpointLength)
	b = append(b, checkpointMagic[:]...)
	b = append(b, id.instance[:]...)
	b = order.AppendUint64(b, id.salt)
	b = order.AppendUint64(b, at.Epoch)
	b = order.AppendUint64(b, at.N)
	b = append(b, make([]byte, 12)...)
	return order.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeCheckpoint(b []byte) (identity, Seq, bool) {
	var id identity
	if len(b) != checkpointLength {
		return id, Seq{}, false
	}
	copy(id.instance[:], b[8:24])
	id.salt = order.Uint64(b[24:])
	at := Seq{Epoch: order.Uint64(b[32:]), N: order.Uint64(b[40:])}
	return id, at, at.Epoch < 1<<48 && bytes.Equal(b, encodeCheckpoint(id, at))
}

// A frame is length (4 bytes), checksum (4), number (8), record. The checksum covers the record, then number and length:
// in this order, so that most of it is done before the number is known. A frame of length 0 is the seal that an orderly
// Close leaves; its number is the one that the next record would have had.

// recordSum begins the checksum of a frame with what does not need its number.
func recordSum(seed uint32, record []byte) uint32 {
	return crc32.Update(seed, castagnoli, record)
}

// putFrameHeader completes the checksum and writes the header into b, which has frameHeader bytes.
func putFrameHeader(b []byte, sum uint32, seq uint64, length int) {
	order.PutUint32(b, uint32(length)) //nolint:gosec // at most MaxRecord
	order.PutUint64(b[8:], seq)
	order.PutUint32(b[4:], frameSum(sum, b))
}

// frameSum is the checksum of the frame whose header is b and whose record has the given sum.
func frameSum(sum uint32, b []byte) uint32 {
	sum = crc32.Update(sum, castagnoli, b[8:16])
	return crc32.Update(sum, castagnoli, b[:4])
}

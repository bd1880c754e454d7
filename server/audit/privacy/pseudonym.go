package privacy

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"hash"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// purpose keeps these keys apart from others that may once be derived from the same one.
	purpose = "verdict audit pseudonym v1"

	prefix = "p."
	// pseudonymBits of the HMAC are kept: more than enough for no two users ever to share one by chance.
	pseudonymBits = 128
	// pseudonymLen is the length of a pseudonym, which is as long as a GUID or shorter: 2 and 26.
	pseudonymLen = len(prefix) + (pseudonymBits+4)/5

	// maxPeriods bounds how many keys are kept, each under a kilobyte. To derive one again takes microseconds.
	maxPeriods = 1024
)

// letters has no capitals and no digits that look like letters, as what people copy should.
var letters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// month is a calendar month UTC, counted from January of year 0.
type month int

func monthOf(t time.Time) month {
	t = t.UTC()
	return month(t.Year()*12 + int(t.Month()) - 1)
}

// String is the month as in 2026-11.
func (m month) String() string { return fmt.Sprintf("%04d-%02d", int(m)/12, int(m)%12+1) }

// period is what has a key of its own.
type period struct {
	tenant string
	month  month
}

// namer makes pseudonyms. It is safe for concurrent use.
type namer struct {
	root Key
	// known is replaced and never written to: reading it takes no lock.
	known atomic.Pointer[map[period]*periodKey]
}

// periodKey is the key of a tenant and month.
type periodKey struct{ macs sync.Pool } // of *mac

// mac computes pseudonyms, one after the other, and allocates nothing for it.
type mac struct {
	hash hash.Hash
	in   []byte
	sum  []byte
}

// append appends the pseudonym of a user to into.
func (k *periodKey) append(into []byte, tenant, oid string) []byte {
	m, _ := k.macs.Get().(*mac)
	defer k.macs.Put(m)
	m.in = binary.AppendUvarint(m.in[:0], uint64(len(tenant))) // so that no two pairs are one text
	m.in = append(m.in, tenant...)
	m.in = append(m.in, oid...)
	m.hash.Reset()
	m.hash.Write(m.in)
	m.sum = m.hash.Sum(m.sum[:0])
	return letters.AppendEncode(append(into, prefix...), m.sum[:pseudonymBits/8])
}

// derive makes the key of a period.
func derive(from Key, of period) *periodKey {
	// The month has a fixed length and ends the text, so that no two periods are one text.
	key, err := hkdf.Key(sha256.New, from.root()[:], nil, purpose+"\x00"+of.tenant+"\x00"+of.month.String(), sha256.Size)
	if err != nil {
		panic(err) // only for a length that HKDF does not have
	}
	k := new(periodKey)
	k.macs.New = func() any { return &mac{hash: hmac.New(sha256.New, key)} }
	return k
}

// key returns the key of a period, and keeps it.
func (n *namer) key(of period) *periodKey {
	known := n.known.Load()
	if known != nil {
		if k := (*known)[of]; k != nil {
			return k
		}
	}
	of.tenant = strings.Clone(of.tenant) // it may be a part of something large
	k := derive(n.root, of)
	for {
		next := make(map[period]*periodKey)
		if known != nil && len(*known) < maxPeriods {
			maps.Copy(next, *known)
		}
		next[of] = k
		if n.known.CompareAndSwap(known, &next) {
			return k
		}
		known = n.known.Load()
	}
}

// Month is a pseudonym of a user and the month in which it stands for the user.
type Month struct {
	Month     string // as in 2026-11, UTC
	Pseudonym string // what is in PrincipalID
}

// MaxMonths is how many months Pseudonyms goes back.
const MaxMonths = 120

// months lists the pseudonyms of a user, oldest first.
func (n *namer) months(tenant, oid string, from, to time.Time) []Month {
	first, last := monthOf(from), monthOf(to)
	first = max(first, last-MaxMonths+1)
	var all []Month
	for m := first; m <= last; m++ {
		// Not by way of n.key: what people look for must not push out what decisions need.
		all = append(all, Month{m.String(), string(derive(n.root, period{tenant, m}).append(nil, tenant, oid))})
	}
	return all
}

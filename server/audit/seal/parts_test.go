package seal

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// mth is RFC 6962, section 2.1, as it is written there.
func mth(leaves [][sha256.Size]byte) [sha256.Size]byte {
	n := len(leaves)
	if n == 1 {
		return leaves[0]
	}
	k := 1
	for k*2 < n {
		k *= 2
	}
	return node(mth(leaves[:k]), mth(leaves[k:]))
}

func TestTheTreeIsThatOfRFC6962(t *testing.T) {
	var leaves [][sha256.Size]byte
	var grown tree
	for n := range 70 {
		leaf := sha256.Sum256([]byte{0, byte(n)})
		leaves = append(leaves, leaf)
		grown.add(leaf)
		if grown.root() != mth(leaves) {
			t.Fatalf("the root of %d leaves is another", n+1)
		}
	}
	// The root of the first two entries of the test vectors of Certificate Transparency: "" and 0x00.
	var known tree
	for _, entry := range [][]byte{{}, {0}} {
		known.add(sha256.Sum256(append([]byte{0}, entry...)))
	}
	if r := known.root(); hex.EncodeToString(r[:]) != "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125" {
		t.Errorf("root %x", r)
	}
}

// A leaf must not change with a release: what was sealed would no longer verify.
func TestLeavesStayWhatTheyAre(t *testing.T) {
	d := store.Decision{
		ID: "0198a000-0000-7000-8000-000000000001", At: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Allowed: true, Reason: 1, Detail: "d",
		Revision: 2, PrincipalKind: 1, TenantID: "t", PrincipalID: "p", ClientID: "c", TokenID: "u", API: "a", Route: "r", Template: "/x",
		Method: "GET", Host: "h", RawPath: "", Permissions: []string{"a.b"}, Grants: []string{"g"}, Door: "check", Took: time.Millisecond,
		Instance: "i", Epoch: 3, Seq: 4,
	}
	leaf := Leaf(&d)
	if got := hex.EncodeToString(leaf[:]); got != "2b356937ec2465541a0f30f8dd5ac6bb442fd0f971e9015800fcdd844646ba78" {
		t.Errorf("leaf of a record: %s", got)
	}
	var h changeHash
	h.begin(&store.AdminChange{Trail: store.TrailPolicy, Number: 1, At: d.At, Actor: "ann", Reason: "why", Ticket: "T", Total: 1})
	h.fact(&store.FactChange{Kind: store.KindAPI, Key: "a", Before: "", After: "{}"})
	leaf = h.leaf()
	if got := hex.EncodeToString(leaf[:]); got != "015e0556e9dc33a34d76724e2a0d0bde0cd5c40748d5111c9e1f8d7a6ad3c7dc" {
		t.Errorf("leaf of a change: %s", got)
	}
	digest := store.Digest{Number: 2, Kind: store.DigestHourly, From: d.At, To: d.At.Add(time.Hour), Count: 1, Root: leaf[:], Previous: leaf[:],
		Ranges: []store.SequenceRange{{Instance: "i", Epoch: 3, First: 4, Last: 4, Count: 1}}, RevisionFirst: 2, RevisionLast: 2, KeyID: "k"}
	hash := Hash(&digest)
	if got := hex.EncodeToString(hash[:]); got != "1bce258cc4a45b3c1f4d60bc6a436021ebc4eb872689c79e88735ceba171425f" {
		t.Errorf("hash of a digest: %s", got)
	}
	content, err := Encode(&digest)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(content)
	if err != nil || Hash(&back) != hash {
		t.Errorf("its file does not say the same: %v", err)
	}
}

// entries are n records of several sources, in order.
func entries(n int) (l []entry) {
	rng := rand.New(rand.NewPCG(1, 2))
	at := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC).UnixMicro()
	for i := range n {
		at += int64(rng.Uint32() % 3)
		e := entry{at: at, leaf: sha256.Sum256([]byte{byte(i)})}
		e.id[14], e.id[15] = byte(i>>8), byte(i)
		if s := rng.Uint32() % 4; s > 0 {
			e.source, e.seq = source{string(rune('a' + s)), uint64(s)}, uint64(1000-i+int(s))
		}
		l = append(l, e)
	}
	return l
}

func pack(l []entry, cs []changeEntry, from time.Time) []byte {
	p := newPacker(from)
	for i := range l {
		p.record(&l[i])
	}
	for i := range cs {
		p.change(&cs[i], from)
	}
	return p.packed(from)
}

func TestAListGivesBackWhatWasPacked(t *testing.T) {
	from := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	records := entries(500)
	changes := []changeEntry{{trail: store.TrailPolicy, number: 9, at: from.UnixMicro() + 5}, {trail: store.TrailTrust, number: 1, at: from.UnixMicro() + 6}}
	packed := pack(records, changes, from)
	if perRecord := len(packed) / len(records); perRecord > 56 {
		t.Errorf("%d bytes a record", perRecord)
	}
	l, err := openList(packed, from)
	if err != nil {
		t.Fatal(err)
	}
	var got []entry
	if err := drain(l, func(e *entry) { got = append(got, *e) }); err != nil || !slices.Equal(got, records) {
		t.Errorf("other records, %v", err)
	}
	for _, want := range changes {
		if c, more, err := l.change(); err != nil || !more || c != want {
			t.Errorf("change %+v, %v, %v", c, more, err)
		}
	}
	if _, more, err := l.change(); more || err != nil {
		t.Errorf("after the last change: %v, %v", more, err)
	}
	for cut := 0; cut < len(packed); cut += 61 {
		if _, _, _, err := rootOf(packed[:cut], from); err == nil && cut < len(packed)-2*(1+7+1+1+32) {
			t.Fatalf("a list cut at %d of %d is taken", cut, len(packed))
		}
	}
}

func FuzzList(f *testing.F) {
	from := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	f.Add(pack(entries(5), []changeEntry{{trail: store.TrailPolicy, number: 9, at: from.UnixMicro() + 5}}, from))
	f.Add(pack(nil, nil, from))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := openList(b, from)
		if err != nil {
			return
		}
		at := int64(0)
		if err := drain(l, func(e *entry) {
			if e.at < at {
				t.Error("records are not in order")
			}
			at = e.at
		}); err != nil {
			return
		}
		for more := true; more && err == nil; _, more, err = l.change() {
			if len(l.rest) > len(b) {
				t.Fatal("more than there was")
			}
		}
	})
}

func TestNumbersAreFoundMissingInAnyOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		all := rng.Perm(60)
		g, s := make(gaps), source{"i", 1}
		seen := make([]bool, 61)
		for _, n := range all[:40] {
			seen[n+1] = true
			g.add(s, run{uint64(n) + 1, uint64(n) + 1}, true)
			g.add(s, run{uint64(n) + 1, uint64(n) + 1}, true)
		}
		for _, f := range g.missing() {
			for n := f.First; n <= f.Last; n++ {
				if seen[n] {
					t.Fatalf("%d was seen", n)
				}
				seen[n] = true
			}
		}
		first, last := slices.Index(seen, true), 60
		for !seen[last] {
			last--
		}
		if slices.Contains(seen[first:last], false) {
			t.Fatal("a gap was not found")
		}
	}
}

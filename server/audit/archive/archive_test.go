package archive_test

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/audit/archive"
	"github.com/verdict-authz/verdict/store"
)

var day = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

func record(n int) store.Decision {
	at := day.Add(time.Duration(n) * time.Second)
	return store.Decision{
		ID: fmt.Sprintf("%08x-%04x-7000-8000-%012x", at.UnixMilli()>>16, at.UnixMilli()&0xffff, n), At: at,
		API: "orders", Permissions: []string{"orders.read"}, Instance: "i", Epoch: 1, Seq: uint64(n) + 1,
	}
}

func records(n int) iter.Seq2[store.Decision, error] {
	return func(yield func(store.Decision, error) bool) {
		for i := range n {
			if !yield(record(i), nil) {
				return
			}
		}
	}
}

func TestADayIsWrittenReadAndProven(t *testing.T) {
	dir := t.TempDir()
	m, err := archive.Write(dir, "decisions_20261120", records(1000))
	if err != nil || m.Records != 1000 || !m.First.Equal(day) || !m.Last.Equal(day.Add(999*time.Second)) {
		t.Fatalf("%+v, %v", m, err)
	}
	n := 0
	for d, err := range archive.Records(dir, "decisions_20261120") {
		if err != nil || d.ID != record(n).ID {
			t.Fatalf("%d: %+v, %v", n, d, err)
		}
		n++
	}
	if n != 1000 {
		t.Errorf("%d records", n)
	}
	again, err := archive.Write(dir, "decisions_20261120", records(1000))
	if err != nil || again != m {
		t.Errorf("written again: %+v, %v", again, err)
	}
	if _, err := archive.Write(dir, "decisions_20261120", records(999)); !errors.Is(err, archive.ErrDamaged) || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("other records under the same name: %v", err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 2 {
		t.Errorf("%v", files)
	}
}

func TestAnEmptyDayIsAnArchiveToo(t *testing.T) {
	dir := t.TempDir()
	m, err := archive.Write(dir, "d", records(0))
	if err != nil || m.Records != 0 {
		t.Fatalf("%+v, %v", m, err)
	}
	if err := archive.Check(dir, m); err != nil {
		t.Error(err)
	}
}

func TestDamageIsFoundWhereverItIs(t *testing.T) {
	dir := t.TempDir()
	m, err := archive.Write(dir, "d", records(50))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "d.jsonl.zst")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := map[string][]byte{"cut": whole[:len(whole)-1], "empty": nil, "longer": append(append([]byte{}, whole...), whole...)}
	for i := 0; i < len(whole); i += max(1, len(whole)/64) {
		b := append([]byte{}, whole...)
		b[i] ^= 1
		damaged[fmt.Sprint("byte ", i)] = b
	}
	for name, b := range damaged {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := archive.Check(dir, m); !errors.Is(err, archive.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatFailsHalfwayLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	broken := errors.New("the store went away")
	_, err := archive.Write(dir, "d", func(yield func(store.Decision, error) bool) {
		_ = yield(record(0), nil) && yield(store.Decision{}, broken)
	})
	if !errors.Is(err, broken) {
		t.Error(err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("left %v", files)
	}
}

package spool

import (
	"strconv"
	"syscall"
	"testing"
)

// small mounts a file system of the given size, or skips where that is not possible.
func small(t *testing.T, kib int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("spool", dir, "tmpfs", 0, "size="+strconv.Itoa(kib)+"k"); err != nil {
		t.Skipf("mount: %v; the limit of a file's size is tested instead", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

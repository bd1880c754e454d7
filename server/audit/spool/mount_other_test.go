//go:build !linux

package spool

import "testing"

func small(t *testing.T, _ int) string {
	t.Helper()
	t.Skip("mounting a small file system is for Linux; the limit of a file's size is tested instead")
	return ""
}

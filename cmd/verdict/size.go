package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// The defaults of settings that mean something with --spool only; the flags' tags say the same, and a test compares them.
const (
	defaultSpoolSize = "2GiB"
)

// leastSpool is a few hundred records. Less would be denied at the first hiccup of the store.
const leastSpool = 64 << 10

// parseSize reads the size of a spool, such as 512MiB, in bytes.
func parseSize(s string) (int64, error) {
	for _, unit := range []struct {
		name  string
		shift int
	}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}} {
		digits, ok := strings.CutSuffix(s, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64>>unit.shift {
			break
		}
		if n <<= unit.shift; n < leastSpool {
			return 0, fmt.Errorf("%s is less than 64KiB", s)
		}
		return n, nil
	}
	return 0, fmt.Errorf("%q is no size; give a whole number of KiB, MiB or GiB, such as 2GiB", s)
}

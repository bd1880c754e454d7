//go:build !race

package audit_test

const raceAllocs = 0

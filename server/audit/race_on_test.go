//go:build race

package audit_test

// raceAllocs is what a record may cost under the race detector, where a sync.Pool loses part of what it is given.
const raceAllocs = 2

package store

import (
	"strconv"
	"time"
)

// idSlack are the distances from the time in its id within which a record is looked for, the usual one first: an id is made
// when a decision begins, and At is when it was answered.
var idSlack = []time.Duration{15 * time.Second, time.Hour}

// IDWindows returns the windows in which to look for the record with this id, one after the other. ErrNotFound when it is
// not a UUIDv7 in lower case, since no record has another id.
func IDWindows(id string) ([][2]time.Time, error) {
	if !isUUID(id) {
		return nil, ErrNotFound
	}
	millis, err := strconv.ParseInt(id[:8]+id[9:13], 16, 64)
	if err != nil {
		return nil, ErrNotFound
	}
	at := time.UnixMilli(millis).UTC()
	windows := make([][2]time.Time, len(idSlack))
	for i, slack := range idSlack {
		windows[i] = [2]time.Time{at.Add(-slack), at.Add(slack)}
	}
	return windows, nil
}

// Day is the UTC day of t, at midnight.
func Day(t time.Time) time.Time {
	y, m, d := t.UTC().Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

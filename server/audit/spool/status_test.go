package spool

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOldestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		l := open(t, m, Config{})
		age := func(want time.Duration) {
			t.Helper()
			if got := l.Status().OldestAge; got < want || got > want+time.Second {
				t.Errorf("age %s, want %s", got, want)
			}
		}
		age(0)
		mustAppend(t, l, "a", ModeSpool)
		time.Sleep(time.Minute)
		mustAppend(t, l, "b", ModeSpool)
		time.Sleep(time.Hour)
		age(time.Hour + time.Minute)
		if err := l.Advance(mustNext(t, l, 1).Through); err != nil {
			t.Fatal(err)
		}
		age(time.Hour)
		mustClose(t, l)
		l = open(t, m, Config{})
		age(time.Hour + time.Minute) // the segment's
		if err := l.Advance(mustNext(t, l, 9).Through); err != nil {
			t.Fatal(err)
		}
		age(0)
		mustClose(t, l)
	})
}

func TestAgesStayFewHoweverLongNothingIsDrained(t *testing.T) {
	var a ages
	begin := time.Unix(0, 0)
	for i := range 100_000 {
		a.add(uint64(i+1), begin.Add(time.Duration(i)*time.Second))
	}
	if len(a.list) > maxAges {
		t.Errorf("%d marks", len(a.list))
	}
	if got := a.of(1); !got.Equal(begin) {
		t.Errorf("the oldest is of %s", got)
	}
	if got, want := a.of(50_000), begin.Add(50_000*time.Second); got.After(want) || want.Sub(got) > 2*time.Minute {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestTheLogSaysWhatACrashLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		l := open(t, m, Config{})
		mustAppend(t, l, "whole", ModeStrict)
		torn := m.afterCrash(false)
		mustClose(t, l)
		name := torn.segments()[0]
		torn.names[name].data = append(torn.names[name].data, "torn"...)
		var buf bytes.Buffer
		l, err := Open("spool", slog.New(slog.NewTextHandler(&buf, nil)), Config{FS: torn})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(buf.String(), "tail torn") || !strings.Contains(buf.String(), "bytes=4") {
			t.Errorf("log %q", buf.String())
		}
		b := mustNext(t, l, 9)
		if len(b.Records) != 1 || len(b.Gaps) != 1 || b.Gaps[0] != (Gap{Epoch: 1, From: 2, Bytes: 4}) {
			t.Errorf("%+v", b)
		}
		mustClose(t, l)
	})
}

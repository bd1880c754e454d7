package follow_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verdict-authz/verdict/server/follow"
)

func TestLooksComeAtIntervalsSoonerWhenAskedAndNeverCrowded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks []time.Duration
		began := time.Now()
		p, hints := follow.NewPace(time.Second), make(chan struct{}, 1)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- p.Run(ctx, hints, func(context.Context) { looks = append(looks, time.Since(began)) })
		}()
		time.Sleep(1200 * time.Millisecond) // at once, and at 1 s
		hints <- struct{}{}
		time.Sleep(100 * time.Millisecond)
		for range 5 {
			p.Kick()
			time.Sleep(time.Millisecond)
		}
		time.Sleep(100 * time.Millisecond)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		const ms = time.Millisecond
		want := []time.Duration{0, 1000 * ms, 1200 * ms, 1300 * ms, 1310 * ms}
		for i := range max(len(want), len(looks)) {
			if i >= len(looks) || i >= len(want) || looks[i] < want[i] || looks[i] > want[i]+11*ms {
				t.Fatalf("looked at %v, want about %v", looks, want)
			}
		}
	})
}

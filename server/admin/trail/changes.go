package trail

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/admin/page"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

const (
	maxFacts = 1000 // of a change
	// A change of a whole policy has a thousand facts with all their text: a page ends with the change that makes it this
	// large, so that clients with gRPC's usual limit of 4 MiB can read most of them.
	largePage = 2 << 20
	// changesAtOnce bounds what is read of the store to find that out.
	changesAtOnce = 25
)

var trails = map[store.Trail]verdictv1.Trail{
	store.TrailPolicy:     verdictv1.Trail_TRAIL_POLICY,
	store.TrailRevocation: verdictv1.Trail_TRAIL_REVOCATION,
	store.TrailTrust:      verdictv1.Trail_TRAIL_TRUST,
}

// ListChanges returns the changes that administrators made, newest first.
func (s *Service) ListChanges(ctx context.Context, req *verdictv1.ListChangesRequest) (*verdictv1.ListChangesResponse, error) {
	filter, err := changeFilter(req)
	if err != nil {
		return nil, err
	}
	list := page.List{"changes", filter.From.Format(time.RFC3339Nano), filter.To.Format(time.RFC3339Nano), string(filter.Trail), filter.Actor}
	cursor, err := changeCursor(list, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	changes, more, err := s.changes(ctx, filter, cursor, page.Size(req.GetPageSize()))
	if err != nil {
		return nil, fmt.Errorf("list changes: %w", err)
	}
	resp := &verdictv1.ListChangesResponse{Changes: make([]*verdictv1.Change, len(changes))}
	for i, c := range changes {
		resp.Changes[i] = changeProto(c)
	}
	if more {
		last := changes[len(changes)-1]
		resp.NextPageToken = list.Token(position(last.At), string(last.Trail), strconv.FormatUint(last.Number, 10))
	}
	return resp, nil
}

// changes reads a page, which ends early when it is large, and says whether there are more.
func (s *Service) changes(ctx context.Context, f store.ChangeFilter, after store.ChangeCursor, size int) (all []store.AdminChange, more bool, err error) {
	for large := 0; ; {
		want := min(size+1-len(all), changesAtOnce)
		some, err := s.store.ListChanges(ctx, f, after, want, maxFacts)
		if err != nil {
			return nil, false, err
		}
		for _, c := range some {
			if len(all) == size || large >= largePage {
				return all, true, nil
			}
			all, large = append(all, c), large+weight(c)
			after = store.ChangeCursor{At: c.At, Trail: c.Trail, Number: c.Number}
		}
		if len(some) < want {
			return all, false, nil
		}
	}
}

// weight is about how many bytes a change takes.
func weight(c store.AdminChange) int {
	n := len(c.Actor) + len(c.Reason) + len(c.Ticket)
	for _, f := range c.Facts {
		n += len(f.Key) + len(f.Before) + len(f.After)
	}
	return n
}

func changeFilter(req *verdictv1.ListChangesRequest) (store.ChangeFilter, error) {
	var vs []status.Violation
	f := store.ChangeFilter{Actor: req.GetActor()}
	f.From, f.To = bounds(req.GetFrom(), req.GetTo(), "", &vs)
	for trail, number := range trails {
		if number == req.GetTrail() {
			f.Trail = trail
		}
	}
	return f, invalidIf(vs)
}

func changeCursor(list page.List, token string) (c store.ChangeCursor, err error) {
	after, err := list.After(token, 3)
	if err != nil || token == "" {
		return c, err
	}
	if c.At, err = positioned(after[0]); err != nil {
		return c, err
	}
	c.Trail = store.Trail(after[1])
	if c.Number, err = strconv.ParseUint(after[2], 10, 64); err != nil {
		return c, page.BadToken()
	}
	return c, nil
}

func changeProto(c store.AdminChange) *verdictv1.Change {
	p := &verdictv1.Change{
		Trail: trails[c.Trail], Number: c.Number, Time: timestamppb.New(c.At), Actor: c.Actor, Reason: c.Reason, Ticket: c.Ticket, Total: c.Total,
		Facts: make([]*verdictv1.FactChange, len(c.Facts)),
	}
	for i, f := range c.Facts {
		p.Facts[i] = &verdictv1.FactChange{Fact: factName(f), Before: f.Before, After: f.After}
	}
	return p
}

// factName is kind and key; an order for all tenants has no key.
func factName(f store.FactChange) string {
	if f.Key == "" {
		return string(f.Kind)
	}
	return string(f.Kind) + "/" + f.Key
}

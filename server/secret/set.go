package secret

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
)

// Set is the secrets of a process, by the names of the settings that ask for them.
type Set struct {
	byName  map[string]*Source
	sources []*Source // each once
}

// OpenAll makes a Set of the references that name a secret, reads each once, all at a time, and reports all that cannot be
// had under the name of their setting: what was asked for and cannot be had stops the start. Equal references share a
// Source.
func OpenAll(ctx context.Context, refs map[string]Ref, fetchers Fetchers, log *slog.Logger, cfg Config) (*Set, error) {
	set := &Set{byName: map[string]*Source{}}
	names := map[*Source][]string{}
	byRef := map[Ref]*Source{}
	var problems []problem
	for name, ref := range refs {
		if ref.IsZero() {
			continue
		}
		source := byRef[ref]
		if source == nil {
			var err error
			if source, err = NewSource(ref, fetchers, log, cfg); err != nil {
				problems = append(problems, problem{name, err})
				continue
			}
			byRef[ref] = source
			set.sources = append(set.sources, source)
		}
		set.byName[name] = source
		names[source] = append(names[source], name)
	}
	if len(problems) == 0 {
		problems = set.readAll(ctx, names)
	}
	if len(problems) > 0 {
		return nil, joined(problems)
	}
	return set, nil
}

// problem is why the secret of a setting cannot be had.
type problem struct {
	name string
	err  error
}

// joined are all problems in one error, in the order of their names.
func joined(problems []problem) error {
	slices.SortFunc(problems, func(a, b problem) int { return cmp.Compare(a.name, b.name) })
	var all error
	for _, p := range problems {
		all = errors.Join(all, fmt.Errorf("%s: %w", p.name, p.err))
	}
	return all
}

func (s *Set) readAll(ctx context.Context, names map[*Source][]string) (problems []problem) {
	var all sync.WaitGroup
	var mu sync.Mutex
	for _, source := range s.sources {
		all.Go(func() {
			if _, err := source.Get(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				for _, name := range names[source] {
					problems = append(problems, problem{name, err})
				}
			}
		})
	}
	all.Wait()
	return problems
}

// Source is the secret of a setting; nil when the setting names none.
func (s *Set) Source(name string) *Source { return s.byName[name] }

// Run polls all of them until ctx ends.
func (s *Set) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, source := range s.sources {
		all.Go(func() { source.Run(ctx) })
	}
	all.Wait()
}

// Stats says how they fare, in the order of their references.
func (s *Set) Stats() []Stats {
	all := make([]Stats, 0, len(s.sources))
	for _, source := range s.sources {
		all = append(all, source.Stats())
	}
	slices.SortFunc(all, func(a, b Stats) int { return cmp.Compare(a.Ref, b.Ref) })
	return all
}

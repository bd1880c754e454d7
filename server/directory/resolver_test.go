package directory

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

const (
	tenant = "aaaaaaaa-0000-0000-0000-000000000001"
	oid    = "11111111-0000-0000-0000-00000000000a"
	inTok  = "99999999-0000-0000-0000-000000000001"
	inSrc  = "99999999-0000-0000-0000-000000000002"
	inBack = "99999999-0000-0000-0000-000000000003"
	userS  = "s-1-5-21-1-2-3-1104"
)

// answers is a source that says this.
type answers struct {
	name   string
	groups []string
	age    time.Duration
	err    error
	asked  int
}

func (a *answers) Groups(context.Context, Caller) (Membership, error) {
	a.asked++
	if a.err != nil {
		return Membership{}, a.err
	}
	return Membership{Groups: a.groups, At: time.Now().Add(-a.age), Source: a.name}, nil
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func who(kind policy.PrincipalKind, change func(*Caller)) Caller {
	c := Caller{Kind: kind, TenantID: tenant, ObjectID: oid, ClientID: inBack}
	if change != nil {
		change(&c)
	}
	return c
}

func listed(groups ...string) func(*Caller) {
	return func(c *Caller) { c.Listed, c.Groups = true, groups }
}

func overage(c *Caller) { c.Overage = true }

func TestResolve(t *testing.T) {
	source := func() *answers { return &answers{name: "source", groups: []string{inSrc}} }
	back := func() *answers { return &answers{name: "back", groups: []string{inBack}} }
	old := func() *answers { a := source(); a.age = 16 * time.Minute; return a }
	down := func(err error) *answers { return &answers{err: err} }
	sids := func() *answers { return &answers{name: "ldap", groups: []string{userS}} }
	for name, tc := range map[string]struct {
		mode             Mode
		source, fallback *answers
		kind             policy.PrincipalKind // 0 means a user
		token            func(*Caller)
		privileged       bool
		want             []string
		from             string
		err              error
	}{
		"token: a list is used":                              {source: source(), token: listed(inTok), want: []string{inTok}, from: "token"},
		"token: a list is put in order":                      {token: listed(inSrc, strings.ToUpper(inTok), inSrc), want: []string{inTok, inSrc}, from: "token"},
		"token: privileged asks the source":                  {source: source(), token: listed(inTok), privileged: true, want: []string{inSrc}, from: "source"},
		"token: privileged without a source uses the list":   {token: listed(inTok), privileged: true, want: []string{inTok}, from: "token"},
		"token: privileged and the source away is no answer": {source: down(ErrUnavailable), token: listed(inTok), privileged: true, err: ErrUnavailable},
		"token: overage asks the source":                     {source: source(), token: overage, want: []string{inSrc}, from: "source"},
		"token: a list beside overage does not count": {
			source: source(), token: func(c *Caller) { overage(c); listed(inTok)(c) }, want: []string{inSrc}, from: "source",
		},
		"token: overage without a source is no answer": {token: overage, err: ErrUnavailable},
		"token: overage of an unknown principal":       {source: down(ErrUnknownPrincipal), token: overage, err: ErrUnknownPrincipal},
		"token: overage falls back":                    {source: down(ErrUnavailable), fallback: back(), token: overage, want: []string{inBack}, from: "back"},
		"token: no claim is an empty list":             {source: source(), want: nil, from: "token"},
		"token: an error of no kind is unavailable":    {source: down(errors.New("strange")), token: overage, err: ErrUnavailable},
		"graph: the token does not count":              {mode: Graph, source: source(), token: listed(inTok), want: []string{inSrc}, from: "source"},
		"graph: away is no answer":                     {mode: Graph, source: down(ErrUnavailable), token: listed(inTok), err: ErrUnavailable},
		"mirror: the mirror answers":                   {mode: Mirror, source: source(), fallback: back(), want: []string{inSrc}, from: "source"},
		"mirror: an old mirror falls back":             {mode: Mirror, source: old(), fallback: back(), want: []string{inBack}, from: "back"},
		"mirror: an old mirror alone is no answer":     {mode: Mirror, source: old(), err: ErrUnavailable},
		"mirror: old and the fallback away is no answer": {
			mode: Mirror, source: old(), fallback: down(ErrUnavailable), token: listed(inTok), err: ErrUnavailable,
		},
		"mirror: who is too new for it is asked of the fallback": {
			mode: Mirror, source: down(ErrUnknownPrincipal), fallback: back(), want: []string{inBack}, from: "back",
		},
		"mirror: an application's":           {mode: Mirror, kind: policy.PrincipalApp, source: source(), want: []string{inSrc}, from: "source"},
		"ldap: added to the token's list":    {mode: LDAP, source: sids(), token: listed(inTok), want: []string{inTok, userS}, from: "token+ldap"},
		"ldap: alone if the list is empty":   {mode: LDAP, source: sids(), token: listed(), want: []string{userS}, from: "token+ldap"},
		"ldap: overage is no answer":         {mode: LDAP, source: sids(), token: overage, err: ErrUnavailable},
		"ldap: no claim is no answer":        {mode: LDAP, source: sids(), err: ErrUnavailable},
		"ldap: the fallback is Entra's part": {mode: LDAP, source: sids(), fallback: back(), token: overage, want: []string{inBack, userS}, from: "back+ldap"},
		"ldap: Entra's part must be had too": {mode: LDAP, source: sids(), fallback: down(ErrUnavailable), token: overage, err: ErrUnavailable},
		"ldap: away is no answer":            {mode: LDAP, source: down(ErrUnavailable), fallback: back(), token: listed(inTok), err: ErrUnavailable},
		"ldap: unknown is no answer":         {mode: LDAP, source: down(ErrUnknownPrincipal), token: listed(inTok), err: ErrUnknownPrincipal},
		"ldap: disabled is told":             {mode: LDAP, source: down(ErrPrincipalDisabled), token: listed(inTok), err: ErrPrincipalDisabled},
		"ldap: an application is in Entra alone": {
			mode: LDAP, kind: policy.PrincipalApp, source: down(ErrUnavailable), token: listed(inTok), want: []string{inTok}, from: "token",
		},
		"ldap: an application without groups": {mode: LDAP, kind: policy.PrincipalApp, source: down(ErrUnavailable), want: nil, from: "token"},
		"a device":                            {kind: 9, source: source(), token: listed(inTok), err: ErrUnknownPrincipal},
		"an id that is none":                  {token: func(c *Caller) { c.ObjectID = "me" }, err: ErrUnknownPrincipal},
		"a tenant that is none":               {token: func(c *Caller) { c.TenantID = "common" }, err: ErrUnknownPrincipal},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Mode: tc.mode}
			if tc.source != nil {
				cfg.Source = tc.source
			}
			if tc.fallback != nil {
				cfg.Fallback = tc.fallback
			}
			r, err := New(cfg, quiet())
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			kind := tc.kind
			if kind == policy.PrincipalUnknown {
				kind = policy.PrincipalUser
			}
			m, err := r.Resolve(t.Context(), who(kind, tc.token), tc.privileged)
			if !errors.Is(err, tc.err) || err != nil && len(m.Groups) > 0 {
				t.Fatalf("%+v, %v", m, err)
			}
			if err == nil && (!slices.Equal(m.Groups, tc.want) || m.Source != tc.from) {
				t.Errorf("%+v; want %v from %s", m, tc.want, tc.from)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for name, cfg := range map[string]Config{
		"a mode without its source":         {Mode: Graph},
		"an unknown mode":                   {Mode: "names"},
		"a fallback for nothing":            {Fallback: &answers{}},
		"a negative age":                    {MaxStaleness: -1},
		"a negative time":                   {Cache: CacheConfig{Positive: -1}},
		"an answer good beyond its own end": {Cache: CacheConfig{Positive: time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := New(cfg, quiet()); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestAnOperatorIsToldOncePerApplication(t *testing.T) {
	var log bytes.Buffer
	r, err := New(Config{}, slog.New(slog.NewJSONHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for range 3 {
		for _, client := range []string{"client-1", "client-2"} {
			for _, token := range []func(*Caller){nil, listed("Canary Group Name"), listed(inTok, "S-1-5-21-1-2-3-4")} {
				c := who(policy.PrincipalUser, token)
				c.ClientID, c.Username = client, "canary@example.test"
				if _, err := r.Resolve(t.Context(), c, false); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 4 || strings.Contains(strings.ToLower(log.String()), "canary") {
		t.Errorf("%d lines:\n%s", len(lines), &log)
	}
	for _, want := range []string{noGroupsClaim, groupNames} {
		if n := strings.Count(log.String(), want); n != 2 {
			t.Errorf("%d times %q", n, want)
		}
	}
}

func TestStatus(t *testing.T) {
	s := &answers{name: "graph", groups: []string{inSrc}}
	b := &answers{err: ErrUnavailable}
	r, err := New(Config{Mode: Graph, Source: s, Fallback: b, Cache: CacheConfig{Pause: time.Nanosecond}}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ask := func() {
		_, _ = r.Resolve(t.Context(), who(policy.PrincipalUser, nil), false)
	}
	ask()
	ask() // from the cache
	st := r.Status()
	if st.Mode != Graph || len(st.Sources) != 2 {
		t.Fatalf("%+v", st)
	}
	first := st.Sources[0]
	if first.Name != "graph" || first.Successes != 1 || first.Failures != 0 || first.Kept != 1 || first.LastSuccess.IsZero() {
		t.Errorf("%+v", first)
	}
	r.source.cached.Forget(policy.PrincipalUser, tenant, oid)
	s.err = ErrUnavailable
	ask()
	ask()
	st = r.Status()
	if f := st.Sources[0]; f.Failures < 1 || f.InARow != f.Failures || f.LastError == "" || f.LastFailure.IsZero() {
		t.Errorf("%+v", f)
	}
	if f := st.Sources[1]; f.Failures < 1 || !f.LastSuccess.IsZero() {
		t.Errorf("%+v", f)
	}
}

package admin_test

import (
	"fmt"
	"slices"
	"testing"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

func TestListsInPages(t *testing.T) {
	ctx := t.Context()
	svc, _ := seeded(t)
	p := document()
	for i := range 7 {
		a, r := ordersAPI(), listRoute()
		a.Id, a.Hosts, r.Api = fmt.Sprintf("api-%d", i), nil, fmt.Sprintf("api-%d", i)
		p.Apis, p.Routes = append(p.Apis, a), append(p.Routes, r)
		p.Grants = append(p.Grants, readersGrant(fmt.Sprintf("n-%d", i)))
	}
	apply(t, svc, p)
	for name, one := range map[string]func(size uint32, token string) (ids []string, next string, err error){
		"apis": func(size uint32, token string) (ids []string, next string, err error) {
			resp, err := svc.ListApis(ctx, &verdictv1.ListApisRequest{PageSize: size, PageToken: token})
			for _, a := range resp.GetApis() {
				ids = append(ids, a.GetId())
			}
			return ids, resp.GetNextPageToken(), err
		},
		"routes": func(size uint32, token string) (ids []string, next string, err error) {
			resp, err := svc.ListRoutes(ctx, &verdictv1.ListRoutesRequest{PageSize: size, PageToken: token})
			for _, r := range resp.GetRoutes() {
				ids = append(ids, r.GetApi()+"/"+r.GetId())
			}
			return ids, resp.GetNextPageToken(), err
		},
		"grants": func(size uint32, token string) (ids []string, next string, err error) {
			resp, err := svc.ListGrants(ctx, &verdictv1.ListGrantsRequest{Api: "orders", Subject: group, PageSize: size, PageToken: token})
			for _, g := range resp.GetGrants() {
				ids = append(ids, g.GetId())
			}
			return ids, resp.GetNextPageToken(), err
		},
	} {
		t.Run(name, func(t *testing.T) {
			all, next, err := one(0, "")
			if err != nil || len(all) != 8 || next != "" || !slices.IsSorted(all) {
				t.Fatalf("all at once: %v, next %q, %v", all, next, err)
			}
			for _, size := range []uint32{1, 3, 4, 8} {
				var got []string
				token := ""
				for range 10 {
					ids, next, err := one(size, token)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, ids...)
					if token = next; token == "" {
						break
					}
				}
				if !slices.Equal(got, all) {
					t.Errorf("in pages of %d: %v", size, got)
				}
			}
		})
	}
}

func TestBadPageTokens(t *testing.T) {
	ctx := t.Context()
	svc, _ := seeded(t)
	p := document()
	p.Grants = append(p.Grants, readersGrant("g-2"))
	apply(t, svc, p)
	first, err := svc.ListGrants(ctx, &verdictv1.ListGrantsRequest{PageSize: 1})
	if err != nil || first.GetNextPageToken() == "" {
		t.Fatalf("%v, %v", first, err)
	}
	token := first.GetNextPageToken()
	for name, call := range map[string]func() error{
		"with another filter": func() error {
			_, err := svc.ListGrants(ctx, &verdictv1.ListGrantsRequest{Api: "orders", PageToken: token})
			return err
		},
		"of another list": func() error {
			_, err := svc.ListApis(ctx, &verdictv1.ListApisRequest{PageToken: token})
			return err
		},
		"that was changed": func() error {
			_, err := svc.ListGrants(ctx, &verdictv1.ListGrantsRequest{PageToken: token[:len(token)-2] + "AA"})
			return err
		},
		"that is none": func() error {
			_, err := svc.ListRoutes(ctx, &verdictv1.ListRoutesRequest{PageToken: "next, please"})
			return err
		},
		"that is too short": func() error {
			_, err := svc.ListRoutes(ctx, &verdictv1.ListRoutesRequest{PageToken: "AAAA"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			wantViolations(t, call(), map[string]string{"page_token": "not a token of this list"})
		})
	}
}

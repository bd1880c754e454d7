package condition

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
)

func TestNetworks(t *testing.T) {
	for name, tc := range map[string]struct {
		address, network string
		want             bool
	}{
		"inside":                                 {"10.255.255.255", "10.0.0.0/8", true},
		"outside":                                {"11.0.0.0", "10.0.0.0/8", false},
		"one address":                            {"192.0.2.7", "192.0.2.7/32", true},
		"its neighbour":                          {"192.0.2.8", "192.0.2.7/32", false},
		"IPv6 inside":                            {"2001:db8::1", "2001:db8::/32", true},
		"IPv6 outside":                           {"2001:db9::1", "2001:db8::/32", false},
		"IPv4 written as IPv6":                   {"::ffff:10.1.2.3", "10.0.0.0/8", true},
		"IPv6 with a zone":                       {"fe80::1%eth0", "fe80::/10", true},
		"everything of the one is not the other": {"2001:db8::1", "0.0.0.0/0", false},
		"everything":                             {"203.0.113.9", "0.0.0.0/0", true},
	} {
		t.Run(name, func(t *testing.T) {
			in := alice(t)
			in.SourceIP = netip.MustParseAddr(tc.address)
			if got, err := mustCompile(t, fmt.Sprintf(`ip_in(request.source_ip, %q)`, tc.network)).Holds(in); got != tc.want || err != nil {
				t.Errorf("%v, %v", got, err)
			}
			in.Resource = tc.network // not a literal
			if got, err := mustCompile(t, `ip_in(request.source_ip, resource.id)`).Holds(in); got != tc.want || err != nil {
				t.Errorf("not as a literal: %v, %v", got, err)
			}
			in.Resource = tc.address // not of the connection
			if got, err := mustCompile(t, fmt.Sprintf(`ip_in(resource.id, %q)`, tc.network)).Holds(in); got != tc.want || err != nil {
				t.Errorf("of another address: %v, %v", got, err)
			}
		})
	}
	for name, resource := range map[string]string{
		"empty": "", "an address": "10.0.0.0", "a long prefix": "10.0.0.0/33", "words": "office", "IPv4 written as IPv6": "::ffff:10.0.0.0/104",
	} {
		t.Run("no network: "+name, func(t *testing.T) {
			in := alice(t)
			in.Resource = resource
			if got, err := mustCompile(t, `!ip_in(request.source_ip, resource.id)`).Holds(in); got || !errors.Is(err, ErrNotComputed) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

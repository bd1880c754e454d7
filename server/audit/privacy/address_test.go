package privacy

import "testing"

func TestAddressesAreCutToTheirNetwork(t *testing.T) {
	for text, want := range map[string]struct{ network, full string }{
		"192.0.2.77":              {"192.0.2.0/24", "192.0.2.77"},
		"::ffff:192.0.2.77":       {"192.0.2.0/24", "::ffff:192.0.2.77"},
		"2001:db8:1:2:3:4:5:6":    {"2001:db8:1::/48", "2001:db8:1:2:3:4:5:6"},
		"2002:c000:24d:1::1":      {"2002:c000:200::/40", "2002:c000:24d:1::1"}, // of 192.0.2.77
		"fe80::1":                 {"fe80::/48", "fe80::1"},
		"::1":                     {"::/48", "::1"},
		"":                        {},
		"192.0.2.0/24":            {}, // not an address: what it is, nobody checked
		"alice@example.com":       {},
		"192.0.2.77, 192.0.2.78 ": {},
	} {
		if got := Network.of(text); got != want.network {
			t.Errorf("of %q its network is %q, want %q", text, got, want.network)
		}
		if got := Full.of(text); got != want.full {
			t.Errorf("of %q all is %q, want %q", text, got, want.full)
		}
		if got := None.of(text); got != "" {
			t.Errorf("of %q nothing is %q", text, got)
		}
	}
}

func TestWordsForAddresses(t *testing.T) {
	for _, a := range []Addresses{Network, Full, None} {
		if got, err := ParseAddresses(a.String()); err != nil || got != a {
			t.Errorf("%v becomes %v, %v", a, got, err)
		}
	}
	for _, word := range []string{"", "Network", "some"} {
		if _, err := ParseAddresses(word); err == nil {
			t.Errorf("%q is taken", word)
		}
	}
}

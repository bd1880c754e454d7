package privacy

import "net/netip"

// How many bits of an address its network has. A provider gives a customer a /48 or less of IPv6. The second to sixth byte of a
// 6to4 address are an IPv4 address, so less of it is kept: the /24 of that.
const (
	networkBits4    = 24
	networkBits6    = 48
	networkBits6to4 = 16 + networkBits4
)

var sixToFour = netip.MustParsePrefix("2002::/16")

// of is what is kept of an address. What is no address may be anything, and nothing of it is kept.
func (a Addresses) of(text string) string {
	if text == "" || a == None {
		return ""
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return ""
	}
	if a == Full {
		return text
	}
	ip = ip.Unmap().WithZone("")
	bits := networkBits6
	switch {
	case ip.Is4():
		bits = networkBits4
	case sixToFour.Contains(ip):
		bits = networkBits6to4
	}
	network, err := ip.Prefix(bits)
	if err != nil { // it has at least as many bits
		return ""
	}
	var room [len("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128")]byte
	return string(network.AppendTo(room[:0])) // one allocation, String has two
}

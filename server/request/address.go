package request

import "net/netip"

// SourceIP reads the address of a caller as an enforcement point vouches for it: one IPv4 or IPv6 address in text, nothing
// around it. An IPv4 address in IPv6 clothes (::ffff:10.0.0.1) becomes the IPv4 address, so that a rule about 10.0.0.0/8
// sees it. Zones are refused: they mean something on one machine only.
func SourceIP(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}

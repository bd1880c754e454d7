package condition

import (
	"fmt"
	"net/netip"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

const fnIPIn = "ip_in"

// ipIn declares ip_in(address, network). What is no address or no network is an error, never just false: false would let
// a deny pass.
func ipIn() cel.EnvOption {
	return cel.Function(fnIPIn, cel.Overload("ip_in_string_string",
		[]*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
		cel.BinaryBinding(func(address, network ref.Val) ref.Val {
			a, ok := address.(types.String)
			if !ok {
				return types.MaybeNoSuchOverloadErr(address)
			}
			n, ok := network.(types.String)
			if !ok {
				return types.MaybeNoSuchOverloadErr(network)
			}
			addr, err := netip.ParseAddr(string(a))
			if err != nil {
				return types.WrapErr(ErrNotComputed)
			}
			prefix, err := netip.ParsePrefix(string(n))
			if err != nil || prefix.Addr().Is4In6() {
				return types.WrapErr(ErrNotComputed)
			}
			return types.Bool(prefix.Contains(addr.Unmap().WithZone("")))
		})))
}

// checkNetwork says what is wrong with a literal network; empty: nothing.
func checkNetwork(s string) string {
	if addr, err := netip.ParseAddr(s); err == nil {
		return fmt.Sprintf("%s is an address; the network of that one address is %s", s, netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()))
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return fmt.Sprintf("%q is not a network such as 10.0.0.0/8 or 2001:db8::/32", s)
	}
	if prefix.Addr().Is4In6() {
		return fmt.Sprintf("%s: write an IPv4 network as such", s)
	}
	if prefix != prefix.Masked() {
		return fmt.Sprintf("%s has bits after its prefix; the network is %s", s, prefix.Masked())
	}
	return ""
}

// checkAddress says what is wrong with a literal address; empty: nothing.
func checkAddress(s string) string {
	if _, err := netip.ParseAddr(s); err != nil {
		return fmt.Sprintf("%q is not an IP address", s)
	}
	return ""
}

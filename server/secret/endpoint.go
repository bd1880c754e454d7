package secret

import (
	"errors"
	"net/netip"
	"net/url"
)

// errEndpoint does not repeat the address, which may hold a name and a password.
var errEndpoint = errors.New("the address that takes its place must be https://host, or http://host on this machine: secrets travel there")

// CheckEndpoint says whether secrets may travel to and from a service at an address that takes the place of its own: over TLS,
// or within this machine.
func CheckEndpoint(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return errEndpoint
	}
	host := u.Hostname()
	ip, _ := netip.ParseAddr(host)
	if u.Scheme == "https" || u.Scheme == "http" && (host == "localhost" || ip.IsLoopback()) {
		return nil
	}
	return errEndpoint
}

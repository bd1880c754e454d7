package privacy

import "fmt"

// Addresses says how much of a caller's address is kept. The zero value keeps the network.
type Addresses uint8

// What can be kept of an address.
const (
	Network Addresses = iota // the /24 of an IPv4 address, the /48 of an IPv6 address
	Full                     // all of it
	None                     // nothing
)

// addressWords holds the word of each.
var addressWords = [...]string{Network: "network", Full: "full", None: "none"}

// String is the word that configuration uses.
func (a Addresses) String() string {
	if int(a) < len(addressWords) {
		return addressWords[a]
	}
	return fmt.Sprintf("addresses(%d)", uint8(a))
}

// ParseAddresses reads the word that configuration uses.
func ParseAddresses(s string) (Addresses, error) {
	for a, word := range addressWords {
		if s == word {
			return Addresses(a), nil
		}
	}
	return Network, fmt.Errorf("audit addresses %q: neither network, full nor none", s)
}

// Config tunes a Redactor. The zero value is usable.
type Config struct {
	Key       Key       // makes pseudonyms of users; the zero Key makes none
	Addresses Addresses // how much of them is kept
}

// Validate reports what cannot be worked with.
func (c Config) Validate() error {
	if int(c.Addresses) >= len(addressWords) {
		return fmt.Errorf("audit %v: neither network, full nor none", c.Addresses)
	}
	return nil
}

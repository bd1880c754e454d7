package secret_test

import (
	"strings"
	"testing"

	"github.com/verdict-authz/verdict/server/secret"
)

func TestCheckEndpoint(t *testing.T) {
	for name, tc := range map[string]struct {
		address string
		good    bool
	}{
		"TLS":                             {"https://vpce-1.example.com:8443/", true},
		"loopback":                        {"http://127.0.0.1:4566", true},
		"loopback of IPv6":                {"http://[::1]:4566", true},
		"this machine by name":            {"http://localhost:4566", true},
		"another machine":                 {"http://192.0.2.7", false},
		"a name that begins like this":    {"http://localhost.example.com", false},
		"an address that begins like one": {"http://127.0.0.1.example.com", false},
		"a user beside loopback":          {"http://127.0.0.1:hunter2@example.com", false},
		"another scheme":                  {"ftp://127.0.0.1", false},
		"no scheme":                       {"sts.example.com", false},
		"no host":                         {"https://", false},
		"nothing":                         {"", false},
		"no address at all":               {"http://%zz", false},
	} {
		t.Run(name, func(t *testing.T) {
			err := secret.CheckEndpoint(tc.address)
			if (err == nil) != tc.good || err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v", tc.address, err)
			}
		})
	}
}

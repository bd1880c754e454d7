package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/server/audit"
	"github.com/verdict-authz/verdict/server/audit/privacy"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/pep"
	"github.com/verdict-authz/verdict/server/secret"
)

// Options is everything a Server can be told. Durations of zero mean their default.
type Options struct {
	Version string

	Decision          Listen
	Admin             Listen     // loopback or a Unix socket only
	HTTP              Listen     // health and metrics; without an address they are not served
	PEP               pep.Config // who may ask for decisions; zero: who reaches the listener
	InsecurePlaintext bool       // serve decisions, health and metrics without TLS beyond loopback

	Entra            entra.Config
	Groups           Groups
	Audit            audit.Config
	Spool            Spool
	Privacy          privacy.Config // what records say of people; zero: their ids, and the networks they call from
	Seal             Seal
	Exports          []Export
	Secrets          *secret.Set   // read again while the server runs; nil: there are none
	PolicyPoll       time.Duration // 0 means 1s
	MaxPolicyAge     time.Duration // 0 means 1h
	RevocationMaxAge time.Duration // apis with strict_revocation deny when revocations were not heard of for longer; 0 means 30s
	DecisionTTL      time.Duration // longest an answer of Check may be kept; 0: not at all
	AWSRoles         AWSRoles
	Verbose          bool          // tell callers the exact reason of token failures; for development
	DrainTimeout     time.Duration // longest that calls under way are waited for; 0 means 10s

	Log *slog.Logger
}

// Spool is where decision records are kept before the answer leaves.
type Spool struct {
	Dir      string // a folder on a local disk, this process's alone; "": records wait in memory
	MaxBytes int64  // most bytes of all segments together; 0 means 2 GiB
}

// Listen is one listener.
type Listen struct {
	Address  string // host:port, or unix:/path
	CertFile string // PEM certificate chain; "": plaintext
	KeyFile  string // PEM private key
	ClientCA string // PEM certificates that sign client certificates; "": none are asked for
	// ClientOptional lets callers in without a certificate; one that they have is verified all the same.
	ClientOptional bool
}

const unixPrefix = "unix:"

// validate reports all problems at once; name is the listener's flag.
func (l Listen) validate(name string) (err error) {
	if l.Address == "" {
		return fmt.Errorf("--%s-listen: empty; give host:port or unix:/path", name)
	}
	if path, ok := strings.CutPrefix(l.Address, unixPrefix); ok {
		if !strings.HasPrefix(path, "/") || len(path) > 100 {
			err = errors.Join(err, fmt.Errorf("--%s-listen: %q: the socket path must be absolute and at most 100 bytes", name, l.Address))
		}
	} else if _, _, splitErr := net.SplitHostPort(l.Address); splitErr != nil {
		err = errors.Join(err, fmt.Errorf("--%s-listen: %q: give host:port, such as 127.0.0.1:7300, or unix:/path", name, l.Address))
	}
	if (l.CertFile == "") != (l.KeyFile == "") {
		err = errors.Join(err, fmt.Errorf("--%s-tls-cert, --%s-tls-key: give both or neither", name, name))
	}
	if l.ClientCA != "" && l.CertFile == "" {
		err = errors.Join(err, fmt.Errorf("--%s-tls-client-ca: client certificates need --%s-tls-cert and --%s-tls-key", name, name, name))
	}
	return err
}

// local says whether only this machine can reach the listener.
func (l Listen) local() bool {
	if strings.HasPrefix(l.Address, unixPrefix) {
		return true
	}
	host, _, err := net.SplitHostPort(l.Address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// Validate reports all problems of the listeners at once.
func (o *Options) Validate() error {
	err := errors.Join(o.Groups.Validate(), o.Decision.validate("decision"), o.encrypted("decision", o.Decision), o.Admin.validate("admin"))
	if o.HTTP != (Listen{}) { // files without an address are half a setting
		err = errors.Join(err, o.HTTP.validate("http"), o.encrypted("http", o.HTTP))
	}
	if len(o.PEP.Allow) > 0 && o.Decision.ClientCA == "" {
		err = errors.Join(err, errors.New("--pep-allow: it names client certificates; give --decision-tls-client-ca, or nobody could ask"))
	}
	if !o.Admin.local() {
		err = errors.Join(err, fmt.Errorf("--admin-listen: %q is reachable from other machines; callers of the admin API are not authenticated yet, so it must be a loopback address or unix:/path",
			o.Admin.Address))
	}
	return err
}

// encrypted refuses plaintext beyond this machine, unless it was asked for; name is the listener's flag.
func (o *Options) encrypted(name string, l Listen) error {
	if l.Address == "" || l.CertFile != "" || l.local() || o.InsecurePlaintext {
		return nil
	}
	return fmt.Errorf("--%[1]s-listen: %[2]q is reachable from other machines and has no TLS; give --%[1]s-tls-cert and --%[1]s-tls-key, or --insecure-plaintext if something in front encrypts",
		name, l.Address)
}

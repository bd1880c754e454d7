//go:build linux

package ldaptest

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
)

const (
	// BaseDN is the domain.
	BaseDN = "DC=corp,DC=test"
	// Name is the server's, as its certificate has it.
	Name = "dc.corp.test"

	startTimeout   = 2 * time.Minute // on a machine with much else to do
	requestTimeout = 30 * time.Second
	poll           = 100 * time.Millisecond
)

// Server is a domain controller. What tests put into it stays until the test binary ends; use names of your own.
type Server struct {
	CAFile       string // that signed its certificate
	BindDN       string // an account that may read
	PasswordFile string // of BindDN
	Password     string // of BindDN, a canary that must show nowhere

	dir      string
	admin    string // password of the administrator
	ldaps    *forward
	starttls *forward
}

// LDAPS is the address with TLS from the first byte.
func (s *Server) LDAPS() string { return "ldaps://" + s.ldaps.address() }

// StartTLS is the address without, which can be raised to TLS.
func (s *Server) StartTLS() string { return "ldap://" + s.starttls.address() }

// Cut closes all connections and refuses new ones, until Mend.
func (s *Server) Cut() { s.ldaps.cut(); s.starttls.cut() }

// Drop closes all connections, as a server does that restarts; new ones are taken.
func (s *Server) Drop() { s.Cut(); s.Mend() }

// Mend undoes Cut.
func (s *Server) Mend() { s.ldaps.mend(); s.starttls.mend() }

// errAbsent says that there is no Samba to be had.
var errAbsent = errors.New("no samba")

// shared keeps the server, and through its forwards the process, which ends when the pipe to it is collected.
var shared = sync.OnceValues(start)

// Shared is the one server of the test binary.
func Shared(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	switch {
	case err == nil:
	case errors.Is(err, errAbsent) && !slices.Contains(strings.Split(os.Getenv("VERDICT_TEST_REQUIRE"), ","), "samba"):
		t.Skip(err)
	default:
		t.Fatal(err)
	}
	return s
}

func start() (*Server, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: a domain controller needs root", errAbsent)
	}
	var programs [2]string
	for i, name := range []string{"samba", "samba-tool"} {
		var err error
		if programs[i], err = exec.LookPath(name); err != nil {
			return nil, fmt.Errorf("%w: %s is not on PATH", errAbsent, name)
		}
	}
	dir, err := os.MkdirTemp("", "vad")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, admin: "Aa1-" + rand.Text(), Password: "Canary1-" + rand.Text()}
	p, err := s.bringUp(programs[0], programs[1])
	if err != nil {
		if p != nil {
			p.stop()
		}
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// bringUp provisions the domain, starts it and makes the account that may read.
func (s *Server) bringUp(samba, tool string) (*process, error) {
	if err := s.provision(tool); err != nil {
		return nil, err
	}
	p, err := startProcess(s.dir, samba, "-i", "-M", "single", "-s", s.config())
	if err != nil {
		return nil, err
	}
	if s.ldaps, err = newForward(p, 636); err != nil {
		return p, err
	}
	if s.starttls, err = newForward(p, 389); err != nil {
		return p, err
	}
	if err := s.await(p); err != nil {
		return p, err
	}
	s.BindDN = "CN=verdict-reader,CN=Users," + BaseDN
	if err := s.do(func(c *goldap.Conn) error { return addUser(c, "verdict-reader", s.Password) }); err != nil {
		return p, err
	}
	s.PasswordFile = filepath.Join(s.dir, "password")
	return p, os.WriteFile(s.PasswordFile, []byte(s.Password+"\n"), 0o600)
}

func (s *Server) config() string { return filepath.Join(s.dir, "dc", "etc", "smb.conf") }

// provision makes the domain, and changes its configuration to serve LDAP alone, on loopback, with our certificate.
func (s *Server) provision(tool string) error {
	//nolint:gosec // the program that was found on PATH, with our own arguments
	cmd := exec.Command(tool, "domain", "provision", "--realm=CORP.TEST", "--domain=CORP", "--adminpass="+s.admin,
		"--server-role=dc", "--use-rfc2307", "--dns-backend=NONE", "--host-name=dc", "--host-ip=127.0.0.1",
		"--targetdir="+filepath.Join(s.dir, "dc"), "--option=vfs objects=dfs_samba4 acl_xattr xattr_tdb")
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
	case bytes.Contains(out, []byte("install samba-ad-provision")): // Debian keeps what a domain is made of apart
		return fmt.Errorf("%w: samba-ad-provision is not installed", errAbsent)
	default:
		return fmt.Errorf("samba-tool domain provision: %w\n%s", err, out)
	}
	if err := s.certify(); err != nil {
		return err
	}
	text, err := os.ReadFile(s.config())
	if err != nil {
		return err
	}
	settings := "[global]\n\tserver services = ldap\n\tinterfaces = 127.0.0.1\n\tbind interfaces only = yes\n" +
		"\ttls enabled = yes\n\ttls keyfile = " + filepath.Join(s.dir, "key.pem") +
		"\n\ttls certfile = " + filepath.Join(s.dir, "cert.pem") + "\n\ttls cafile = " + s.CAFile + "\n" +
		// One of its own for each test binary: two that meet in the system's folder stop each other.
		"\tpid directory = " + filepath.Join(s.dir, "dc") + "\n\tlock directory = " + filepath.Join(s.dir, "dc") + "\n"
	changed := strings.Replace(string(text), "[global]\n", settings, 1)
	if changed == string(text) {
		return errors.New("smb.conf has no section [global]")
	}
	return os.WriteFile(s.config(), []byte(changed), 0o600) //nolint:gosec // below our own temporary folder
}

// await returns when the administrator can bind.
func (s *Server) await(p *process) error {
	end := time.Now().Add(startTimeout)
	for {
		err := s.do(func(*goldap.Conn) error { return nil })
		if err == nil {
			return nil
		}
		if time.Now().After(end) || p.ended() {
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("samba does not answer: %w\n%s", err, log)
		}
		time.Sleep(poll)
	}
}

// do runs f on a connection of the administrator.
func (s *Server) do(f func(*goldap.Conn) error) error {
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	c, err := goldap.DialURL(s.LDAPS(), goldap.DialWithTLSConfig(&tls.Config{RootCAs: roots, ServerName: Name, MinVersion: tls.VersionTLS12}))
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // closing what was used tells nothing
	c.SetTimeout(requestTimeout)
	if err := c.Bind("Administrator@corp.test", s.admin); err != nil {
		return err
	}
	return f(c)
}

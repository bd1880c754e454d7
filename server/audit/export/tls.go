package export

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS says how a sink proves who it speaks with, and who we are. The zero value trusts the roots of the system and shows no
// certificate.
type TLS struct {
	CA   string // file: PEM certificates of the authorities that are trusted instead of the system's
	Cert string // file: PEM certificate chain that we show; read again for each connection
	Key  string // file: its PEM private key
	Name string // name in the certificate of the other side, if it is not the one that is dialled
}

// Config is what t says. It reads the files, so that one that is no good is known at the start.
func (t TLS) Config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.Name}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("certificates of authorities: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("certificates of authorities: %s: there is none in it", t.CA)
		}
	}
	if (t.Cert == "") != (t.Key == "") {
		return nil, errors.New("certificate and key: give both or neither")
	}
	if t.Cert != "" {
		if _, err := t.pair(); err != nil {
			return nil, err
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.pair() }
	}
	return c, nil
}

func (t TLS) pair() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("client certificate %s: %w", t.Cert, err)
	}
	return &pair, nil
}

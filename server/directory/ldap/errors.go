package ldap

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/verdict-authz/verdict/server/directory"
)

// retrySoon is the wait after a failure that says nothing of when it ends.
const retrySoon = 200 * time.Millisecond

// nameless keeps of an error what an operator needs: the name of a result code, or what the network or TLS said. What the
// server wrote beside the code may repeat what was asked.
func nameless(err error) error {
	var l *goldap.Error
	if !errors.As(err, &l) {
		return err
	}
	name, known := goldap.LDAPResultCodeMap[l.ResultCode]
	if !known {
		name = "result code"
	}
	text := fmt.Sprintf("%s (%d)", name, l.ResultCode)
	if l.ResultCode == goldap.ErrorNetwork && l.Err != nil {
		text += ": " + l.Err.Error()
	}
	return errors.New(text)
}

// failure makes of what a search returned an error of the contract.
func failure(doing string, err error) error {
	var verification *tls.CertificateVerificationError
	wrapped := fmt.Errorf("%w: %s: %w", directory.ErrUnavailable, doing, nameless(err))
	switch {
	case errors.As(err, &verification):
		return wrapped
	case broken(err), goldap.IsErrorAnyOf(err, goldap.LDAPResultBusy, goldap.LDAPResultUnavailable, goldap.LDAPResultServerDown):
		return &directory.RetryError{After: retrySoon, Err: wrapped}
	}
	return wrapped
}

// broken says that the connection is of no more use.
func broken(err error) bool {
	var l *goldap.Error
	if !errors.As(err, &l) {
		return true
	}
	return l.ResultCode >= goldap.ErrorNetwork || // the library's own codes, which no server sends
		l.ResultCode == goldap.LDAPResultUnavailable || l.ResultCode == goldap.LDAPResultServerDown ||
		l.ResultCode == goldap.LDAPResultTimeout || l.ResultCode == goldap.LDAPResultOperationsError // not bound any more
}

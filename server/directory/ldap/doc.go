// Package ldap asks an on-premises Active Directory for the groups of a user: a directory.Source over LDAP.
//
// The user is found by the security identifier that its token carries, or by name where that is configured; then the
// groups it is in, however deep they are nested, are asked for with one filter (the matching rule "in chain"), the primary
// group and the groups around it included. An account that is disabled is told apart.
//
// Every connection is encrypted and its server verified before the password goes over it: LDAPS, or StartTLS that must
// succeed. Values become parts of a filter only in escaped form. The bind password is read from its file for each
// connection and shown to nobody; after a bind that the directory refused none is tried with the same password for a
// minute, so that verdict does not lock its own account.
package ldap

//go:build linux

// Package ldaptest gives tests a real Active Directory: a Samba domain controller, provisioned in a temporary folder and
// started for the whole test binary by the first call of Shared. AddUser, AddGroup and AddMember fill it over LDAP.
//
// The ports of a domain controller are fixed, so it runs in a network namespace of its own and is reached through two
// loopback ports of this process, which Cut closes as a fault in the network would. Where no namespace can be had it takes
// the real ports on loopback, one test binary after the other.
//
// It needs root, samba and samba-tool (Debian: samba samba-ad-dc samba-ad-provision samba-dsdb-modules winbind).
// Without them the test is skipped, unless $VERDICT_TEST_REQUIRE lists "samba": then it fails. The server is a child of a small shell that waits for
// the end of the test binary, however that comes, stops the server by its process id and removes the folder.
package ldaptest

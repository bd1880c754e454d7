// Package directory finds the groups of a principal when its token does not say them, or when what the token says is too
// old to be relied on. A Source knows groups: Microsoft Graph (package graph), a copy kept in the store (package mirror),
// an Active Directory (package ldap). The Resolver decides which of them, or the token, answers.
//
// What it promises: an answer is complete or there is none. A source that is away, a list that was cut, a principal that
// nobody knows are errors, never an empty list, since the missing group can be the one that a deny names. An answer says
// when it was true, and none is older than Config.MaxStaleness. The caller's deadline is obeyed; a lookup that several
// callers wait for goes on without them.
//
// What is found is kept: 5 minutes, an empty list 1 minute, and up to 15 minutes as long as the source is away. Keys are
// tenant, kind and object id in full, never a name that could pass to somebody else.
//
// It knows nothing of tokens' form, of grants, and of what a group may do.
package directory

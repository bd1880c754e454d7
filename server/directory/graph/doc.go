// Package graph asks Microsoft Graph for the groups of a user or a service principal: a directory.Source on net/http.
//
// It makes three calls: getMemberGroups; several of them in one $batch when principals wait; and, for a principal with
// more than 11 000 groups, pages of transitiveMemberOf. It goes to one host over https and nowhere else: it follows no
// redirect and no link that leaves that host, and of a token it reads nothing, so that no token can name an address.
// Object ids are GUIDs before they become a part of a path. A principal is asked for in its own tenant, with a token for
// that tenant, and only in the tenants that are configured.
//
// Each tenant has a budget of Graph's own cost units, and a Retry-After closes the tenant for as long as it says. What
// came back is a complete list or an error. Nothing here waits for better times: an error that is worth another try is a
// directory.RetryError, and whoever asked decides. Errors name status and code, never a token, an address or a body.
package graph

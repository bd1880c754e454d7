// Package mirror keeps a copy of the groups of Entra tenants in the store and answers from it: a directory.Source that
// needs neither a list in the token nor a call to Graph.
//
// A Syncer follows the delta queries of Graph for groups with their members, for users and for service principals. What
// one round finds is applied in one transaction together with the links that the next goes on from, so a round is seen
// whole or not at all, and one that was cut short leaves the copy as it was. Links that Graph no longer knows (410), and a
// day, bring a full look; the old copy serves until that is done. Of all replicas one makes the rounds of a tenant, by a
// lease in the store that ends by itself. Links lead to the one Graph that is configured and nowhere else.
//
// A Source answers with groups of groups, however nested, and with the time before which the round had read nothing: how
// old that may be is for who asks to say. What principals lose (an account, its sessions, a way into a group) comes out as
// events at least once, after it was applied.
package mirror

// Package snapshot turns what the store holds into the policy that decisions are made on, and keeps it current.
//
// Facts and Delta translate stored facts to policy facts; nowhere else do the two meet. A Follower polls the newest
// revision, with the store's hints only making it sooner, applies the changes since the revision it is at, and publishes
// each result by one atomic pointer. It loads everything only at the start, after a gap in the history, and now and then
// while a revision is refused.
//
// A revision that does not compile is refused whole, never taken in part: the last good one stays in use, Status names
// the refused one and why, and the next that compiles ends it. A policy that is not known to be current counts as stale
// after Config.MaxAge, whether the store is away or what it holds is refused: changes that would take rights away are
// held up in both cases, and the age is how long the operator is willing to bear that.
package snapshot

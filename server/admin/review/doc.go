// Package review answers who can do what, through which grant, when each grant was last used, and what is about to end:
// the evidence for an access review.
//
// A review is made of three things: the policy as it is committed, read whole at one revision; the ledger of what use was
// made of each grant, which outlives the decision records; and what administrators changed. It reads no decision records,
// so that its cost grows with the policy and not with the traffic.
//
// It says what the policy gives, not what a caller ends up with: who is in a group is the directory's to know, and what a
// delegated scope or an actor cap lets through is decided token by token. Package report makes documents of a review.
package review

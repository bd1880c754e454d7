// Package trail is verdict.v1.AuditService: the questions that are asked of what verdict has recorded. It lists, gets and
// explains decisions, sends them as they are kept, counts them, and lists what administrators changed. Nothing here changes
// a record.
//
// An explanation is made of the record alone and of today's policy: what a condition read of the request is gone, and so are
// the caller's groups that had no grants then, so today's answer says where it rests on either.
//
// A tail reads the store again and again and keeps nothing in memory but how far it is. It ends with its caller, and with the
// context of the stream, which ends when the server drains; whoever listens goes on elsewhere with the token of the last
// message. Access reviews and pseudonyms are made elsewhere and only passed on.
package trail

// Package privacy takes out of decision records what would tell more of people than an audit needs, before the records reach
// the spool: nothing behind it ever had it. A Redactor stands between the decisions and the recorder.
//
// Addresses are cut to their network, /24 or /48 (Config.Addresses).
//
// With a Key, users stand in records under pseudonyms: p. and 26 characters, the first 128 bits of
// HMAC-SHA256(HKDF-SHA256(key, tenant and month), tenant and object id). The pseudonym takes the place of the object id in
// PrincipalID and in each user: subject, and the TokenID, by which the sign-in logs of the provider name the user, is dropped.
// In a month (UTC, of the record's At) a user of a tenant has one pseudonym, so that its decisions are found together and
// counted apart from those of others. In another month, or in another tenant, it has another, and nobody without the key can
// tell that the two are the same user. Applications are not people and keep their ids. Pseudonyms, for who has the key, is the
// way from an object id to the records.
//
// Who erases the key, and every copy of it, leaves records of which nobody can say any more whom they were about: they stay,
// and so do their proofs, which are made over pseudonyms. It is all or nothing: each tenant's and month's key follows from the
// one key, which has to be kept for as long as records must be found by object id. With a new key, all pseudonyms begin anew;
// a change at the turn of a month costs nothing else.
//
// What it leaves as it is: tenants, groups, roles and grants by id, so a grant to a single user tells who has read access to
// the policy who that is; the id of a revocation that answered; the path of a request that no route matched, the resource of a
// permission question and the request id, which are what the asker chose to write there.
package privacy

// Package sts asks AWS's Security Token Service for sessions, and is the one place that loads AWS's library for it.
//
// AssumeRole is signed with verdict's own credentials, which come from where AWS's own programs take them: the environment, the
// shared files, a web identity, the container or the instance. AssumeRoleWithWebIdentity carries the caller's token and is not
// signed, so that it needs no credentials at all. Each session is asked for in its own region; the global endpoint is never
// used.
//
// Errors name AWS's code, the action that it did not permit and its request id, each only in the form that such things have.
// AWS's text is dropped: it repeats what it was asked.
package sts

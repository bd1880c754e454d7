// Package secret reads what must not be seen: passwords, client secrets, keys. Configuration names a secret by a Ref and never
// holds it:
//
//	file:///run/secrets/db                            a file, read again when it changes
//	env://NAME                                        a variable of the environment, which cannot change
//	awssm://name#jsonKey?stage=AWSCURRENT&region=…    AWS Secrets Manager, by name or ARN
//	azkv://vault/name[/version]                       Azure Key Vault
//
// A bare string is refused, without being repeated. A Value says [secret] however it is printed; only Reveal gives it away.
//
// A Source is one secret as it changes: read when first asked for, kept, polled by Run, swapped atomically. While it cannot be
// read the last good value stays, and Stats says so. After a change the value before is at hand for a while (Previous), for
// those who meet a server that has not followed yet; Refresh is for those who meet one that was quicker.
//
// The rooms below speak to the stores of secrets (awssm, azkv) and load their libraries; this one knows files and the
// environment. Errors of all of them name the secret and the key, never what they hold.
package secret

// Package stsidentity shows verdict who asks from within AWS, without a secret: each question carries a token that AWS STS
// signs for the role that the process runs as (GetWebIdentityToken). verdict knows the issuer of the account and which roles
// may ask. The account must have outbound identity federation enabled, the role needs sts:GetWebIdentityToken, and STS must be
// reachable, by a VPC endpoint if there is no other way.
//
// It signs the one request to STS itself and needs no SDK configuration. Region and role's credentials come from the environment,
// as in Lambda, and so does another address of STS (AWS_ENDPOINT_URL_STS), unless Config says otherwise.
package stsidentity

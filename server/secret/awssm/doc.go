// Package awssm reads secrets from AWS Secrets Manager, for references of the form awssm://name#key?stage=AWSCURRENT. It is
// the one place that loads the AWS library for it.
//
// Region and credentials come from where AWS's own programs take them: the environment, the shared files, a web identity, the
// container or the instance. The region is that of the reference or the ARN before that of the configuration before that.
// An address of another kind (AWS_ENDPOINT_URL, a VPC endpoint) is the library's matter too.
//
// It needs secretsmanager:GetSecretValue, and kms:Decrypt for a key of one's own. Errors name the secret, the key and AWS's
// code; no part of a secret is in them.
package awssm

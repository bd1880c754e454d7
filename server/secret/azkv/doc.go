// Package azkv reads secrets from Azure Key Vault, for references of the form azkv://vault/name or azkv://vault/name/version. It
// is the one place that loads Azure's library for it.
//
// The vault's domain follows from the cloud; a reference cannot name another host. The credential is the default one of
// Azure's library (environment, workload identity, managed identity, and a developer's own programs), which
// AZURE_TOKEN_CREDENTIALS=prod narrows to those of a server. It needs the role Key Vault Secrets User, or the access policy
// Get.
//
// Key Vault does not say which version was current before: the value before a change is known to those who saw it. Errors name
// the secret and the code of Key Vault or Entra; no part of a secret is in them.
package azkv

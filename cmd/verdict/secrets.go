package main

import (
	"context"

	"github.com/verdict-authz/verdict/server/secret"
	"github.com/verdict-authz/verdict/server/secret/awssm"
	"github.com/verdict-authz/verdict/server/secret/azkv"
)

// Names under which secrets are read; also what errors call them.
const (
	storePasswordFlag = "--store-password"
	graphSecretFlag   = "--graph-secret"
	ldapPasswordFlag  = "--ldap-password"
)

// openSecrets reads the secrets of flags. All that cannot be had are told at once. cloud is that of Azure; "" means global.
func openSecrets(s *surroundings, cloud string, refs map[string]secret.Ref) (*secret.Set, error) {
	vaults, err := azkv.New(azkv.Config{Cloud: cloud})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(s.ctx, openTimeout)
	defer cancel()
	return secret.OpenAll(ctx, refs, secret.Fetchers{
		secret.AWSSecretsManager: awssm.New(awssm.Config{}), secret.AzureKeyVault: vaults,
	}, s.log, secret.Config{})
}

// follow gives a secret that may change at any time; nil when the flag names none.
func follow(secrets *secret.Set, flag string) func(context.Context) ([]byte, error) {
	source := secrets.Source(flag)
	if source == nil {
		return nil
	}
	return func(ctx context.Context) ([]byte, error) {
		v, err := source.Get(ctx)
		if err != nil {
			return nil, err
		}
		return v.RevealBytes(), nil
	}
}

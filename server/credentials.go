package server

import (
	"cmp"
	"context"
	"fmt"

	"github.com/verdict-authz/verdict/server/access"
	"github.com/verdict-authz/verdict/server/credentials"
	"github.com/verdict-authz/verdict/server/credentials/sts"
	"github.com/verdict-authz/verdict/server/pdp"
)

// AWSRoles is the file of roles whose credentials are given out, and how STS is asked.
type AWSRoles struct {
	File      string // "": none are
	Region    string // of roles that name none; "" means that of the surroundings (AWS_REGION)
	Endpoint  string // takes the place of STS's address; "" means AWS's
	PerMinute int    // credentials per principal and minute, and at once; 0 means 10
}

// newCredentials makes the door that gives out credentials, nil without a file.
func newCredentials(ctx context.Context, decider *pdp.PDP, direct *access.Server, o Options) (*credentials.Server, error) {
	if o.AWSRoles.File == "" {
		return nil, nil //nolint:nilnil // none is wanted
	}
	roles, err := credentials.LoadRoles(o.AWSRoles.File)
	if err != nil {
		return nil, fmt.Errorf("--aws-roles-file: %w", err)
	}
	client, err := sts.New(ctx, sts.Config{Endpoint: o.AWSRoles.Endpoint})
	if err != nil {
		return nil, err
	}
	door, err := credentials.New(decider, client, roles, direct.Response, o.Log, credentials.Config{
		Region: cmp.Or(o.AWSRoles.Region, client.Region()), PerMinute: o.AWSRoles.PerMinute, Burst: o.AWSRoles.PerMinute,
	})
	if err != nil {
		return nil, fmt.Errorf("--aws-roles-file: %w", err)
	}
	return door, nil
}

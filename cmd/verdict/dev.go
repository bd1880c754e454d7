package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"

	"github.com/verdict-authz/verdict/migrations"
	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/issuer"
	"github.com/verdict-authz/verdict/store/sqlite"
)

//go:embed example.yaml
var examplePolicy []byte

// devCmd is the settings of verdict dev.
type devCmd struct {
	tuning        `embed:"" group:"Decisions and their records"`
	evidenceFlags `embed:"" group:"Privacy and proof"`
	awsFlags      `embed:"" group:"Credentials of AWS"`

	Data           string `default:".verdict-dev" help:"Folder for the embedded store, the spool and the issuer's key; made when it is not there."`
	DecisionListen string `default:"127.0.0.1:7300" help:"Where decisions are served; loopback or unix:/path."`
	AdminListen    string `default:"127.0.0.1:7301" help:"Where policy and audit are served; loopback or unix:/path."`
	HTTPListen     string `name:"http-listen" default:"127.0.0.1:7302" help:"Where health and metrics are served; loopback or unix:/path; empty: nowhere."`
	IssuerListen   string `default:"127.0.0.1:7303" help:"Where the local token issuer is served; loopback host:port."`
}

// options checks every setting and reports all problems at once.
func (c *devCmd) options(s *surroundings) (server.Options, error) {
	if c.Spool == "" {
		c.Spool = filepath.Join(c.Data, "spool")
	}
	o := server.Options{
		Version:  version(),
		Decision: server.Listen{Address: c.DecisionListen},
		Admin:    server.Listen{Address: c.AdminListen},
		HTTP:     server.Listen{Address: c.HTTPListen},
		Verbose:  true,
		Log:      s.log,
	}
	c.tuning.apply(&o)
	c.awsFlags.apply(&o)
	return o, errors.Join(c.tuning.validate(), c.evidenceFlags.validate(), o.Validate())
}

// Run serves until the context ends.
func (c *devCmd) Run(s *surroundings) error {
	o, err := c.options(s)
	if err != nil {
		return usage(err)
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	if o.Secrets, err = openSecrets(s, "", c.evidenceFlags.refs()); err != nil {
		return err
	}
	if err := c.evidenceFlags.apply(s.ctx, &o, o.Secrets); err != nil {
		return err
	}
	local, lis, err := c.openIssuer(s.ctx)
	if err != nil {
		return err
	}
	o.Entra.Providers = []entra.Provider{{
		Kind: entra.Entra, Authority: "http://" + lis.Addr().String(), Tenants: []string{issuer.DevTenant}, AllowLoopbackHTTP: true,
	}}
	path := filepath.Join(c.Data, "verdict.db")
	if _, err := migrations.Up(s.ctx, migrations.Target{SQLitePath: path}); err != nil {
		return errors.Join(err, lis.Close())
	}
	st, err := sqlite.Open(s.ctx, path)
	if err != nil {
		return errors.Join(err, lis.Close())
	}
	defer st.Close()
	srv, err := server.New(s.ctx, st, o)
	if err != nil {
		return errors.Join(err, lis.Close())
	}
	return c.serve(s, srv, local, lis)
}

// openIssuer opens the local issuer's listener and makes the issuer that goes with its address.
func (c *devCmd) openIssuer(ctx context.Context) (*issuer.Issuer, net.Listener, error) {
	var lc net.ListenConfig
	lis, err := lc.Listen(ctx, "tcp", c.IssuerListen)
	if err != nil {
		return nil, nil, fmt.Errorf("--issuer-listen: %w", err)
	}
	local, err := issuer.New(issuer.Config{BaseURL: "http://" + lis.Addr().String(), KeyFile: filepath.Join(c.Data, "issuer.pem")})
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("--issuer-listen: %w", err), lis.Close())
	}
	return local, lis, nil
}

// serve runs issuer and server until the context ends, and loads the example policy into an empty store.
func (c *devCmd) serve(s *surroundings, srv *server.Server, local *issuer.Issuer, lis net.Listener) error {
	web := &http.Server{Handler: local.Handler(), ReadHeaderTimeout: 5 * time.Second}
	group, ctx := errgroup.WithContext(s.ctx)
	group.Go(func() error {
		if err := web.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the issuer: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		defer web.Close()
		return srv.Run(ctx)
	})
	group.Go(func() error {
		if err := loadExample(ctx, srv.AdminAddr()); err != nil {
			return fmt.Errorf("load the example policy: %w", err)
		}
		return c.greet(s, srv, lis)
	})
	return group.Wait()
}

// loadExample applies the example policy through the admin API, unless there is a policy already.
func loadExample(ctx context.Context, admin net.Addr) error {
	conn, err := grpc.NewClient(dialTarget(admin), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	client := verdictv1.NewPolicyServiceClient(conn)
	current, err := client.ExportPolicy(ctx, &verdictv1.ExportPolicyRequest{}, grpc.WaitForReady(true))
	if err != nil || current.GetRevision() > 0 {
		return err
	}
	document, err := yaml.YAMLToJSONStrict(examplePolicy)
	if err != nil {
		return err
	}
	policy := &verdictv1.Policy{}
	if err := protojson.Unmarshal(document, policy); err != nil {
		return err
	}
	_, err = client.ApplyPolicy(ctx, &verdictv1.ApplyPolicyRequest{
		Policy: policy, Note: &verdictv1.ChangeNote{Reason: "the example policy of verdict dev"},
	})
	return err
}

// dialTarget is an address in gRPC's own words.
func dialTarget(a net.Addr) string {
	if a.Network() == "unix" {
		return "unix:" + a.String()
	}
	return a.String()
}

// greet prints lines to paste.
func (c *devCmd) greet(s *surroundings, srv *server.Server, lis net.Listener) error {
	_, err := fmt.Fprintf(s.stdout, greeting, lis.Addr(), c.Data, dialTarget(srv.DecisionAddr()), dialTarget(srv.AdminAddr()))
	if addr := srv.HTTPAddr(); err == nil && addr != nil && addr.Network() != "unix" {
		_, err = fmt.Fprintf(s.stdout, watching, addr)
	}
	return err
}

const greeting = `verdict dev is up. Decisions %[3]s, administration %[4]s, token issuer http://%[1]s, data in %[2]s.

# what is there
grpcurl -plaintext %[4]s list

# a token of alice (bob, mallory and the application nightly are there too)
TOKEN=$(curl -s 'http://%[1]s/mint?user=alice')

# may she read order 42?
grpcurl -plaintext -d "{\"token\":\"$TOKEN\",\"http\":{\"method\":\"GET\",\"host\":\"orders.example.com\",\"path\":\"/orders/42\"}}" %[3]s verdict.v1.DecisionService/Check

# may she run reports, which is not HTTP?
grpcurl -plaintext -d "{\"token\":\"$TOKEN\",\"api\":\"orders\",\"permission\":{\"name\":\"reports.run\"}}" %[3]s verdict.v1.DecisionService/Check

# the policy, and what was decided
grpcurl -plaintext %[4]s verdict.v1.PolicyService/ExportPolicy
grpcurl -plaintext -d '{"page_size":10}' %[4]s verdict.v1.AuditService/ListDecisions
`

const watching = `
# can it decide, and what was counted
curl -s http://%[1]s/readyz
curl -s http://%[1]s/metrics | grep ^verdict_
`
